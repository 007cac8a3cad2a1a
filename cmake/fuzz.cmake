# Fuzz targets. With SLOTWIRE_FUZZ (the fuzz preset, clang) each is a libFuzzer program, and the whole project is built with coverage for
# the fuzzer and with the sanitizers. Without it each is a program that replays the seeds of the tree, on any compiler.
if(SLOTWIRE_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES Clang)
    message(FATAL_ERROR "SLOTWIRE_FUZZ needs clang, but the compiler is ${CMAKE_CXX_COMPILER}; use: cmake --preset fuzz")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
  if(NOT SLOTWIRE_SANITIZE)
    add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=address,undefined)
  endif()
endif()

# slotwire_fuzz(NAME SOURCES... CORPUS directories... [DEPENDS targets...] [RUNS number] [VARIATIONS number]): one fuzz target. Its seeds are
# in CORPUS, from the directory of the caller; they are only read.
#
# As a libFuzzer program NAME takes libFuzzer's own options (-max_total_time=600, a corpus directory). As a test it makes RUNS (default
# 200000) runs from a fixed seed, and keeps what it finds in the build.
#
# As a replay, NAME_replay, it runs every seed, and VARIATIONS (default 200) variations of each that are the same every time.
function(slotwire_fuzz name)
  cmake_parse_arguments(ARG "" "RUNS;VARIATIONS" "SOURCES;DEPENDS;CORPUS" ${ARGN})
  list(TRANSFORM ARG_CORPUS PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  if(NOT ARG_RUNS)
    set(ARG_RUNS 200000)
  endif()
  if(NOT DEFINED ARG_VARIATIONS)
    set(ARG_VARIATIONS 200)
  endif()
  if(SLOTWIRE_FUZZ)
    add_executable(${name} ${ARG_SOURCES})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    set(program ${name})
    set(found ${CMAKE_CURRENT_BINARY_DIR}/${name}-found)
    file(MAKE_DIRECTORY ${found})
    add_test(NAME ${name} COMMAND ${name} -seed=1 -runs=${ARG_RUNS} -max_len=4096 -timeout=20 -artifact_prefix=${CMAKE_CURRENT_BINARY_DIR}/
                                  ${found} ${ARG_CORPUS})
  else()
    set(program ${name}_replay)
    add_executable(${program} ${ARG_SOURCES} ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/../tests/fuzz/replay.cpp)
    add_test(NAME ${name} COMMAND ${program} ${ARG_VARIATIONS} ${ARG_CORPUS})
  endif()
  target_link_libraries(${program} PRIVATE slotwire_options ${ARG_DEPENDS})
  target_include_directories(${program} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/tests)
  set_tests_properties(${name} PROPERTIES LABELS fuzz TIMEOUT 300)
endfunction()
