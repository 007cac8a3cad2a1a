slotwire_test(slot_test LABEL unit
              SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/slot_memory_test.cpp ${CMAKE_CURRENT_SOURCE_DIR}/slot_ring_test.cpp
                      ${CMAKE_CURRENT_SOURCE_DIR}/slot_record_test.cpp
              DEPENDS slotwire_slot)
# The bell board alone, not the whole driver: it needs nothing but bells.
slotwire_test(bell_test LABEL unit
              SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/slot_bell_test.cpp ${CMAKE_CURRENT_SOURCE_DIR}/slot_bell_interleaving_test.cpp
                      ${PROJECT_SOURCE_DIR}/sw/driver/soft/bell_board.cpp
              DEPENDS slotwire_slot)
slotwire_test(slot_poll_waiter_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/slot_poll_waiter_test.cpp DEPENDS slotwire_slot)
slotwire_test(slot_barrier_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/slot_barrier_test.cpp)
include(${PROJECT_SOURCE_DIR}/cmake/relacy.cmake)
if(SLOTWIRE_NO_RELACY)
  slotwire_skipped_test(slot_ring_relacy LABEL unit REASON "${SLOTWIRE_NO_RELACY}")
else()
  slotwire_test(slot_ring_relacy_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/slot_ring_relacy_test.cpp DEPENDS slotwire_slot)
endif()
