# SLOTWIRE_QUICK: what takes longest of a build from nothing is made quick, for machines that build once and keep no cache
# of compilations (scripts/test and scripts/run turn it on for a new build directory): the headers that most sources include
# are compiled once for each kind of target, sources of the largest targets are compiled several at a time, tests are
# optimized less, and debug information has lines only. No source may count on it: other builds do none of this.
set(SLOTWIRE_QUICK_STANDARD <algorithm> <array> <atomic> <chrono> <condition_variable> <cstdint> <cstring> <deque> <functional> <map>
    <memory> <mutex> <optional> <set> <span> <sstream> <string> <string_view> <thread> <unordered_map> <utility> <variant> <vector>)

foreach(language C CXX)
  foreach(configuration DEBUG RELWITHDEBINFO)
    string(REGEX REPLACE "(^| )-g( |$)" "\\1-g1\\2" CMAKE_${language}_FLAGS_${configuration} "${CMAKE_${language}_FLAGS_${configuration}}")
  endforeach()
endforeach()

# GCC 12 forgets for these that what it looks at stands in a header of the system.
foreach(warning array-bounds restrict stringop-overflow stringop-overread)
  add_compile_options($<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-${warning}>)
endforeach()

# _slotwire_quick_kind(target variable): which precompiled headers fit a target's flags; empty: none.
function(_slotwire_quick_kind target variable)
  set(${variable} "" PARENT_SCOPE)
  get_target_property(type ${target} TYPE)
  get_target_property(sources ${target} SOURCES)
  get_target_property(directory ${target} SOURCE_DIR)
  get_target_property(hidden ${target} CXX_VISIBILITY_PRESET)
  get_target_property(options ${target} COMPILE_OPTIONS)
  get_target_property(libraries ${target} LINK_LIBRARIES)
  cmake_path(IS_PREFIX PROJECT_SOURCE_DIR "${directory}" ours)
  list(FILTER sources INCLUDE REGEX "\\.cpp$")
  if(NOT ours OR NOT sources OR NOT libraries MATCHES "slotwire_" OR hidden STREQUAL "hidden" OR options MATCHES "-include|-march|-w(;|$)")
    return()
  endif()
  if(type STREQUAL "EXECUTABLE")
    if(libraries MATCHES "GTest::")
      set(kind test)
    elseif(directory MATCHES "/(sw|bench)(/|$)")
      return()  # libraries of benchmarks bring flags that the precompiled headers do not have
    else()
      set(kind program)
    endif()
  elseif(type STREQUAL "STATIC_LIBRARY")
    if(libraries MATCHES "GTest::")
      return()
    elseif(directory MATCHES "/sw/")
      set(kind product)
    else()
      set(kind model)
    endif()
  else()
    return()
  endif()
  set(${variable} ${kind} PARENT_SCOPE)
endfunction()

# _slotwire_quick_directory(directory): gives every target in it and below the precompiled headers that fit.
function(_slotwire_quick_directory directory)
  get_property(targets DIRECTORY ${directory} PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target ${targets})
    get_target_property(own ${target} PRECOMPILE_HEADERS)
    _slotwire_quick_kind(${target} kind)
    if(kind AND NOT own)
      target_precompile_headers(${target} REUSE_FROM slotwire_quick_${kind})
      if(kind STREQUAL "test")
        target_compile_options(${target} PRIVATE -O1)
      endif()
    endif()
  endforeach()
  get_property(below DIRECTORY ${directory} PROPERTY SUBDIRECTORIES)
  foreach(one ${below})
    _slotwire_quick_directory(${one})
  endforeach()
endfunction()

# slotwire_quick_base(kind): the precompiled headers of one kind of target; its flags are those of the directory it is called in.
function(slotwire_quick_base kind)
  set(source ${CMAKE_BINARY_DIR}/quick/${kind}.cpp)
  file(CONFIGURE OUTPUT ${source} CONTENT "// What the precompiled headers belong to.\nint main() { return 0; }\n")
  if(kind STREQUAL "test" OR kind STREQUAL "program")
    add_executable(slotwire_quick_${kind} EXCLUDE_FROM_ALL ${source})
  else()
    add_library(slotwire_quick_${kind} STATIC EXCLUDE_FROM_ALL ${source})
  endif()
  target_link_libraries(slotwire_quick_${kind} PRIVATE slotwire_options)
  target_precompile_headers(slotwire_quick_${kind} PRIVATE ${SLOTWIRE_QUICK_STANDARD})
  if(kind STREQUAL "test")
    target_link_libraries(slotwire_quick_test PRIVATE GTest::gtest)
    target_precompile_headers(slotwire_quick_test PRIVATE <gtest/gtest.h>)
    # As the tests that use it: GCC takes no precompiled header that was compiled without optimization (Debug) for them.
    target_compile_options(slotwire_quick_test PRIVATE -O1)
  endif()
endfunction()

# slotwire_quick(): call it when all targets are there.
function(slotwire_quick)
  # Their sources include most, and are compiled several at a time: names in unnamed namespaces differ within a target.
  foreach(target slotwire_engine slotwire_client slotwire slotwire_cli slotwire_gate_parts slotwire_web_bridge)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-subobject-linkage>)
  endforeach()
  slotwire_quick_base(program)
  slotwire_quick_base(model)
  if(SLOTWIRE_TESTS)
    find_package(GTest REQUIRED)
    slotwire_quick_base(test)
  endif()
  # engine-mutants brings its own objects of these and takes the others from the library.
  set(engine ${PROJECT_SOURCE_DIR}/sw/runtime/engine)
  set_source_files_properties(${engine}/services/connector.cpp ${engine}/peers/peer_table.cpp
                              ${engine}/sessions/session_table.cpp ${engine}/slots/slot_table.cpp
                              TARGET_DIRECTORY slotwire_engine PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  _slotwire_quick_directory(${PROJECT_SOURCE_DIR})
endfunction()
