# Fails when a source is not formatted as .clang-format says. cmake -DCLANG_FORMAT=... -DROOT=... -P check_format.cmake
if(NOT CLANG_FORMAT)
  message("SKIPPED: clang-format is not installed (scripts/install-deps)")
  return()
endif()
file(GLOB_RECURSE sources ${ROOT}/sw/*.cpp ${ROOT}/sw/*.hpp ${ROOT}/sw/*.h ${ROOT}/sim/*.cpp ${ROOT}/sim/*.hpp ${ROOT}/tests/*.cpp
     ${ROOT}/tests/*.hpp ${ROOT}/bench/*.cpp ${ROOT}/examples/*.cpp ${ROOT}/examples/*.c)
list(FILTER sources EXCLUDE REGEX "/regs/regs\\.hpp$")
execute_process(COMMAND ${CLANG_FORMAT} --dry-run -Werror ${sources} RESULT_VARIABLE result ERROR_VARIABLE errors)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "not formatted (clang-format -i mends it):\n${errors}")
endif()
