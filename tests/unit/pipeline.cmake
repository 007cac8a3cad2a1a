slotwire_test(pipeline_test LABEL unit
              SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/bitmap_test.cpp ${CMAKE_CURRENT_SOURCE_DIR}/pipeline_receive_test.cpp
                      ${CMAKE_CURRENT_SOURCE_DIR}/pipeline_send_test.cpp ${CMAKE_CURRENT_SOURCE_DIR}/pipeline_fault_test.cpp
                      ${CMAKE_CURRENT_SOURCE_DIR}/pipeline_control_test.cpp
              DEPENDS slotwire_pipeline)
# A program of its own: it counts what operator new is asked for.
slotwire_test(pipeline_cost_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/pipeline_cost_test.cpp
              DEPENDS slotwire_pipeline)
