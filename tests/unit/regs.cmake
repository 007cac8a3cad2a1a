find_package(Python3 3.11 REQUIRED COMPONENTS Interpreter)

add_test(NAME regs_generated_fresh COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/hw/regs/generate.py --check)
add_test(NAME regs_generate COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/regs_generate_test.py ${PROJECT_SOURCE_DIR})
# Running the generator must leave nothing behind in the source tree.
set_tests_properties(regs_generated_fresh regs_generate
                     PROPERTIES LABELS unit TIMEOUT 60 ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)

slotwire_test(regs_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/regs_test.cpp)
