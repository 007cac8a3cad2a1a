slotwire_test(capture_test LABEL unit
              SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/capture_file_test.cpp ${CMAKE_CURRENT_SOURCE_DIR}/capture_dissector_test.cpp
              DEPENDS slotwire_pcapng slotwire_pipeline)
target_compile_definitions(capture_test PRIVATE SLOTWIRE_DISSECTOR="${PROJECT_SOURCE_DIR}/sw/tools/dissector/slotwire.lua")
