foreach(part line_allocator card_port socket_bus relay_card)
  slotwire_test(driver_${part}_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/driver_${part}_test.cpp DEPENDS slotwire_driver)
endforeach()
slotwire_test(simcard_bus_server_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/simcard_bus_server_test.cpp
              DEPENDS slotwire_simcard_parts)
slotwire_test(simcard_wire_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/simcard_wire_test.cpp
              DEPENDS slotwire_simcard_parts)
slotwire_test(driver_pcie_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/driver_pcie_test.cpp DEPENDS slotwire_driver)
slotwire_test(driver_choose_card_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/driver_choose_card_test.cpp
              DEPENDS slotwire_driver slotwire_sim_pci)
