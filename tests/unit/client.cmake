# The process library against an engine that the test plays.
find_package(nlohmann_json REQUIRED)
foreach(part arguments events resume stream wait)
  slotwire_test(client_${part}_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/client_${part}_test.cpp
                DEPENDS slotwire_client slotwire_control nlohmann_json::nlohmann_json)
endforeach()
slotwire_test(client_breaker_test LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/client_breaker_test.cpp DEPENDS slotwire_client)
