foreach(part bus_server line_allocator card_port socket_bus relay_card window_port)
  slotwire_test(driver_${part}_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/driver_${part}_test.cpp DEPENDS slotwire_driver)
endforeach()
slotwire_test(simcard_wire_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/simcard_wire_test.cpp
              DEPENDS slotwire_simcard_parts)
