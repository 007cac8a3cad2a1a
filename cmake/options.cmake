# Warnings and sanitizers for every target of the project: link a target against slotwire_options.
find_package(Threads REQUIRED)
add_library(slotwire_options INTERFACE)
target_compile_options(slotwire_options INTERFACE -Wall -Wextra -Wconversion -Werror)
target_include_directories(slotwire_options INTERFACE ${PROJECT_SOURCE_DIR}/sw)
target_compile_definitions(slotwire_options INTERFACE SLOTWIRE_VERSION="${PROJECT_VERSION}")
target_link_libraries(slotwire_options INTERFACE Threads::Threads)
# Time limits of tests are multiplied by this: programs under the thread sanitizer run many times slower.
set(SLOTWIRE_TEST_SLOWNESS 1)
if(SLOTWIRE_SANITIZE MATCHES thread)
  set(SLOTWIRE_TEST_SLOWNESS 8)
endif()
if(SLOTWIRE_SANITIZE)
  add_compile_options(-fsanitize=${SLOTWIRE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${SLOTWIRE_SANITIZE})
  # With sanitizers GCC takes what its own library moves for uninitialized; builds without them do warn of it.
  target_compile_options(slotwire_options INTERFACE $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-maybe-uninitialized>)
  # GCC's thread sanitizer does not model fences (-Wtsan); the fences stay, the suppressions are explained where they stand.
  if(SLOTWIRE_SANITIZE MATCHES thread)
    target_compile_options(slotwire_options INTERFACE -Wno-tsan)
  endif()
endif()

# slotwire_module(NAME SOURCES... [DEPENDS targets...]): a static library with the project's options.
function(slotwire_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC slotwire_options ${ARG_DEPENDS})
endfunction()

# slotwire_test(NAME LABEL label SOURCES... [DEPENDS targets...]): one GoogleTest program, one ctest entry a test case.
function(slotwire_test name)
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE slotwire_options ${ARG_DEPENDS} GTest::gtest GTest::gtest_main)
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * ${SLOTWIRE_TEST_SLOWNESS}")
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60
                       PROPERTIES LABELS ${ARG_LABEL} TIMEOUT ${ARG_TIMEOUT} SKIP_REGULAR_EXPRESSION "\\[  SKIPPED \\]")
endfunction()

# slotwire_harden(): what is compiled and linked from here on resists exploitation as distributions do: canaries on the stack, checked
# string functions, no jump into the middle of a function, relocations that are resolved at the start and then read-only.
# tests/house/hardening_test.py looks at the binaries. Sanitizers replace the first two, and clang's fuzzing build is for finding bugs.
macro(slotwire_harden)
  if(NOT SLOTWIRE_SANITIZE AND NOT SLOTWIRE_FUZZ)
    add_compile_options(-fstack-protector-strong -fstack-clash-protection $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=2>)
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64")
      add_compile_options(-fcf-protection=full)
    endif()
    add_link_options($<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-pie> -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
  endif()
endmacro()
