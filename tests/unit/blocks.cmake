slotwire_test(blocks_test LABEL unit
              SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/blocks_pool_test.cpp ${CMAKE_CURRENT_SOURCE_DIR}/blocks_list_test.cpp
                      ${CMAKE_CURRENT_SOURCE_DIR}/blocks_list_interleaving_test.cpp
              DEPENDS slotwire_blocks)
include(${PROJECT_SOURCE_DIR}/cmake/relacy.cmake)
if(SLOTWIRE_NO_RELACY)
  slotwire_skipped_test(blocks_list_relacy LABEL unit REASON "${SLOTWIRE_NO_RELACY}")
else()
  slotwire_test(blocks_list_relacy_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/blocks_list_relacy_test.cpp DEPENDS slotwire_blocks)
endif()
