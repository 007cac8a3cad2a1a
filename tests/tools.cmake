# Tests of slotwire and its tunnel against real slotwired processes: one ctest entry for each test method of tests/node/tool_*.py
# tests/http/tool_*.py and tests/local/tool_*.py, of tests/web/serve_*.py and bridge_*.py, and of tests/dpdk/*_test.py and tests/pmd/*_test.py.
find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)
math(EXPR tool_timeout "120 * ${SLOTWIRE_TEST_SLOWNESS}")
set(tool_environment "PYTHONPATH=${CMAKE_CURRENT_SOURCE_DIR}/node;SLOTWIRE_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY};SLOTWIRE_TEST_SLOWNESS=${SLOTWIRE_TEST_SLOWNESS}")
file(GLOB tool_tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/node/tool_*.py ${CMAKE_CURRENT_SOURCE_DIR}/http/tool_*.py ${CMAKE_CURRENT_SOURCE_DIR}/local/tool_*.py
     ${CMAKE_CURRENT_SOURCE_DIR}/web/serve_*.py ${CMAKE_CURRENT_SOURCE_DIR}/web/bridge_*.py ${CMAKE_CURRENT_SOURCE_DIR}/dpdk/*_test.py
     ${CMAKE_CURRENT_SOURCE_DIR}/pmd/*_test.py)
foreach(script ${tool_tests})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${script})
  get_filename_component(part ${script} NAME_WE)
  set(label node)
  if(script MATCHES "/(dpdk|pmd)/")
    set(label dpdk)
  elseif(script MATCHES "/local/")
    set(label local)
  elseif(script MATCHES "/http/")
    set(label http)
  elseif(script MATCHES "/web/")
    set(label web)
  endif()
  file(STRINGS ${script} lines REGEX "^class |^    def test_")
  foreach(line ${lines})
    if(line MATCHES "^class ([A-Za-z0-9_]+)")
      set(class ${CMAKE_MATCH_1})
    elseif(line MATCHES "def (test_[A-Za-z0-9_]+)")
      set(method ${CMAKE_MATCH_1})
      string(REGEX REPLACE "^test_" "" short ${method})
      add_test(NAME ${part}.${short} COMMAND Python3::Interpreter ${script} -v ${class}.${method})
      set_tests_properties(${part}.${short} PROPERTIES LABELS ${label} TIMEOUT ${tool_timeout} SKIP_REGULAR_EXPRESSION "skipped '"
                           ENVIRONMENT "${tool_environment}")
      if(part STREQUAL "tool_bench")
        set_tests_properties(${part}.${short} PROPERTIES LABELS "http;bench-smoke")
      elseif(part STREQUAL "tool_direct")
        set_tests_properties(${part}.${short} PROPERTIES LABELS "node;pcie")
      endif()
    endif()
  endforeach()
endforeach()
# The card once more as a PCI function.
add_test(NAME tool_card.pci COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/node/tool_card.py -v PciCard)
math(EXPR pci_card_timeout "2 * ${tool_timeout}")
set_tests_properties(tool_card.pci PROPERTIES LABELS "node;pcie" TIMEOUT ${pci_card_timeout} SKIP_REGULAR_EXPRESSION "skipped '"
                     ENVIRONMENT "${tool_environment}")
# And as one that serves the slots of processes itself.
add_test(NAME tool_card.direct COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/node/tool_card.py -v DirectCard)
set_tests_properties(tool_card.direct PROPERTIES LABELS "node;pcie" TIMEOUT ${pci_card_timeout} SKIP_REGULAR_EXPRESSION "skipped '"
                     ENVIRONMENT "${tool_environment}")
# The streams once more over links on TCP.
math(EXPR over_tcp_timeout "2 * ${tool_timeout}")
add_test(NAME tool_tunnel.over_tcp_links COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/node/tool_tunnel.py -v OverTcp)
set_tests_properties(tool_tunnel.over_tcp_links PROPERTIES LABELS node TIMEOUT ${over_tcp_timeout} ENVIRONMENT "${tool_environment}")
