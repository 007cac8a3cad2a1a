find_package(nlohmann_json REQUIRED)
find_package(Python3 3.11 REQUIRED COMPONENTS Interpreter)

slotwire_test(vectors_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/vectors_test.cpp
              DEPENDS slotwire_pipeline nlohmann_json::nlohmann_json)
target_compile_definitions(vectors_test PRIVATE SLOTWIRE_SOURCE="${PROJECT_SOURCE_DIR}")
add_test(NAME vectors_fresh COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tests/vectors/generate.py --check)
set_tests_properties(vectors_fresh PROPERTIES LABELS unit TIMEOUT 60 ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)

# Frames that others made and read. Debian's packages are those of its own Python.
set(SLOTWIRE_FOREIGN_FRAMES ${PROJECT_SOURCE_DIR}/tests/vectors/foreign.json CACHE INTERNAL "")
slotwire_test(foreign_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/foreign_test.cpp
              DEPENDS slotwire_pipeline slotwire_ethernet nlohmann_json::nlohmann_json)
target_compile_definitions(foreign_test PRIVATE SLOTWIRE_FOREIGN_FRAMES="${SLOTWIRE_FOREIGN_FRAMES}")
add_test(NAME foreign_fresh COMMAND /usr/bin/python3 ${PROJECT_SOURCE_DIR}/tests/vectors/foreign.py --check)
set_tests_properties(foreign_fresh PROPERTIES LABELS unit TIMEOUT 120 SKIP_RETURN_CODE 77 ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
