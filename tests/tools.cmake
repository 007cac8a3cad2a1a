# Tests of slotwire and its tunnel against real slotwired processes: one ctest entry for each test method of tests/node/tool_*.py.
find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)
file(GLOB tool_tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/node/tool_*.py)
foreach(script ${tool_tests})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${script})
  get_filename_component(part ${script} NAME_WE)
  file(STRINGS ${script} lines REGEX "^class |^    def test_")
  foreach(line ${lines})
    if(line MATCHES "^class ([A-Za-z0-9_]+)")
      set(class ${CMAKE_MATCH_1})
    elseif(line MATCHES "def (test_[A-Za-z0-9_]+)")
      set(method ${CMAKE_MATCH_1})
      string(REGEX REPLACE "^test_" "" short ${method})
      add_test(NAME ${part}.${short} COMMAND Python3::Interpreter ${script} -v ${class}.${method})
      set_tests_properties(${part}.${short} PROPERTIES LABELS node TIMEOUT 120 SKIP_REGULAR_EXPRESSION "skipped '"
                           ENVIRONMENT "SLOTWIRE_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
    endif()
  endforeach()
endforeach()
# The streams once more over links on TCP.
add_test(NAME tool_tunnel.over_tcp_links COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/node/tool_tunnel.py -v OverTcp)
set_tests_properties(tool_tunnel.over_tcp_links PROPERTIES LABELS node TIMEOUT 240
                     ENVIRONMENT "SLOTWIRE_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
