slotwire_test(frame_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/crc32c_test.cpp ${CMAKE_CURRENT_SOURCE_DIR}/frame_test.cpp
              DEPENDS slotwire_pipeline)
