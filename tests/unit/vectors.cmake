find_package(nlohmann_json REQUIRED)
find_package(Python3 3.11 REQUIRED COMPONENTS Interpreter)

slotwire_test(vectors_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/vectors_test.cpp
              DEPENDS slotwire_pipeline nlohmann_json::nlohmann_json)
target_compile_definitions(vectors_test PRIVATE SLOTWIRE_SOURCE="${PROJECT_SOURCE_DIR}")
add_test(NAME vectors_fresh COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tests/vectors/generate.py --check)
set_tests_properties(vectors_fresh PROPERTIES LABELS unit TIMEOUT 60 ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
