slotwire_test(inspect_test LABEL unit
              SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/inspect_http_test.cpp ${CMAKE_CURRENT_SOURCE_DIR}/inspect_cuts_test.cpp
                      ${CMAKE_CURRENT_SOURCE_DIR}/inspect_redis_test.cpp
                      ${CMAKE_CURRENT_SOURCE_DIR}/inspect_records_test.cpp
              DEPENDS slotwire_inspect)
