foreach(part pci_device pci_servers)
  slotwire_test(sim_${part}_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/sim_${part}_test.cpp DEPENDS slotwire_sim_pci)
endforeach()
