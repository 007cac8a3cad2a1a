foreach(part bus_server line_allocator card_neighbours socket_bus hardware_mover host_output card_registers router workers composition
        window_port window_host bar_window network_kernel)
  slotwire_test(driver_${part}_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/driver_${part}_test.cpp DEPENDS slotwire_driver)
endforeach()
slotwire_test(simcard_wire_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/simcard_wire_test.cpp
              DEPENDS slotwire_simcard_parts)
slotwire_test(driver_pcie_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/driver_pcie_test.cpp DEPENDS slotwire_driver)
slotwire_test(driver_choose_card_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/driver_choose_card_test.cpp
              DEPENDS slotwire_driver slotwire_sim_pci)
if(TARGET slotwire_driver_xrt)
  slotwire_test(driver_watchdog_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/driver_watchdog_test.cpp DEPENDS slotwire_driver_xrt)
else()
  slotwire_skipped_test(driver_watchdog LABEL unit REASON ${SLOTWIRE_NO_XRT})
endif()
slotwire_test(xrt_rpc_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/xrt_rpc_test.cpp DEPENDS slotwire_xrt_rpc)
