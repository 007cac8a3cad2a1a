# libFuzzer targets: the fuzz preset builds the whole project with coverage for the fuzzer and with the sanitizers.
if(NOT CMAKE_CXX_COMPILER_ID MATCHES Clang)
  message(FATAL_ERROR "SLOTWIRE_FUZZ needs clang, but the compiler is ${CMAKE_CXX_COMPILER}; use: cmake --preset fuzz")
endif()
add_compile_options(-fsanitize=fuzzer-no-link)
if(NOT SLOTWIRE_SANITIZE)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()

# slotwire_fuzz(NAME SOURCES... [DEPENDS targets...] [RUNS number] [CORPUS directory]): one libFuzzer program. It takes libFuzzer's own options
# (-max_total_time=600, a corpus directory); as a test it makes RUNS (default 200000) runs from a fixed seed.
function(slotwire_fuzz name)
  cmake_parse_arguments(ARG "" "RUNS;CORPUS" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE slotwire_options ${ARG_DEPENDS})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  if(NOT ARG_RUNS)
    set(ARG_RUNS 200000)
  endif()
  # What it finds goes into the first directory; the seeds of the tree are only read.
  set(corpus)
  if(ARG_CORPUS)
    set(corpus ${CMAKE_CURRENT_BINARY_DIR}/${name}-found ${CMAKE_CURRENT_SOURCE_DIR}/${ARG_CORPUS})
    file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/${name}-found)
  endif()
  add_test(NAME ${name} COMMAND ${name} -seed=1 -runs=${ARG_RUNS} -max_len=4096 -artifact_prefix=${CMAKE_CURRENT_BINARY_DIR}/ ${corpus})
  set_tests_properties(${name} PROPERTIES LABELS fuzz TIMEOUT 300)
endfunction()
