slotwire_test(cli_test LABEL unit
              SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/cli_histogram_test.cpp ${CMAKE_CURRENT_SOURCE_DIR}/cli_text_test.cpp
                      ${CMAKE_CURRENT_SOURCE_DIR}/cli_run_program_test.cpp ${CMAKE_CURRENT_SOURCE_DIR}/cli_capture_decoder_test.cpp
              DEPENDS slotwire_cli)
