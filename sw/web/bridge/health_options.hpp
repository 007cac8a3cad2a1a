// How a bridge asks its applications whether they are well.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>

namespace slotwire::web::bridge {

struct HealthOptions {
  std::string path;       ///< of the request, from '/'; empty: nobody is asked
  unsigned status = 200;  ///< that is expected
  std::chrono::steady_clock::duration interval = std::chrono::seconds(5);
  std::chrono::steady_clock::duration timeout = std::chrono::seconds(2);  ///< from the connection to the status line
  std::uint32_t fall = 3, rise = 2;  ///< answers in a row that change what is thought
};

}  // namespace slotwire::web::bridge
