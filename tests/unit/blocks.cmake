slotwire_test(blocks_test LABEL unit
              SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/blocks_pool_test.cpp ${CMAKE_CURRENT_SOURCE_DIR}/blocks_list_test.cpp
                      ${CMAKE_CURRENT_SOURCE_DIR}/blocks_list_interleaving_test.cpp
              DEPENDS slotwire_blocks)
