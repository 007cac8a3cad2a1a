slotwire_test(congestion_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/congestion_test.cpp DEPENDS slotwire_congestion)
