find_package(nlohmann_json REQUIRED)
slotwire_test(client_resume_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/client_resume_test.cpp
              DEPENDS slotwire_client slotwire_control nlohmann_json::nlohmann_json)
