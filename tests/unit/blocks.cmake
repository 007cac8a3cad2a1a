slotwire_test(blocks_test LABEL unit
              SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/blocks_pool_test.cpp ${CMAKE_CURRENT_SOURCE_DIR}/blocks_list_test.cpp
                      ${CMAKE_CURRENT_SOURCE_DIR}/blocks_list_interleaving_test.cpp
              DEPENDS slotwire_blocks)
find_path(RELACY_INCLUDE relacy/relacy.hpp)
set(SLOTWIRE_NO_RELACY "")
if(NOT RELACY_INCLUDE)
  set(SLOTWIRE_NO_RELACY "relacy is not there (Debian package relacy-dev)")
elseif(SLOTWIRE_SANITIZE)
  set(SLOTWIRE_NO_RELACY "relacy switches stacks in ways that sanitizers take for errors")
endif()
if(SLOTWIRE_NO_RELACY)
  slotwire_skipped_test(blocks_list_relacy LABEL unit REASON "${SLOTWIRE_NO_RELACY}")
else()
  slotwire_test(blocks_list_relacy_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/blocks_list_relacy_test.cpp DEPENDS slotwire_blocks)
endif()
