slotwire_test(cache_test LABEL unit
              SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/cache_test.cpp ${CMAKE_CURRENT_SOURCE_DIR}/cache_threads_test.cpp
              DEPENDS slotwire_cache)
slotwire_test(cache_note_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/cache_note_test.cpp DEPENDS slotwire_client)
