#include "tools/slotwire/tunnel/access_log.hpp"

#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "tools/slotwire/common.hpp"

namespace slotwire::cli {
namespace {

using Json = nlohmann::json;

std::string time_now() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  std::tm parts{};
  ::gmtime_r(&now.tv_sec, &parts);
  std::array<char, 40> text{};
  const std::size_t n = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text.data() + n, text.size() - n, ".%03ldZ", now.tv_nsec / 1'000'000);
  return text.data();
}

void print_json(const Json& line) {
  std::printf("%s\n", line.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
  flush_log();
}

}  // namespace

void AccessLog::ready(const std::string& text, const std::string& address, const std::string& service) {
  if (json_) {
    print_json({{"event", "ready"}, {"time", time_now()}, {"address", address}, {"service", service}});
  } else {
    std::fprintf(stderr, "%s %s\n", time_now().c_str(), text.c_str());
  }
}

void AccessLog::ended(const Pipe& pipe, const std::string& service) {
  ++connections_;
  broken_ += pipe.broken() ? 1U : 0U;
  to_slot_ += pipe.to_slot();
  from_slot_ += pipe.from_slot();
  if (quiet_) return;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - pipe.started).count();
  if (json_) {
    print_json({{"event", pipe.broken() ? "broken" : "closed"},
                {"time", time_now()},
                {"connection", pipe.number()},
                {"tcp", pipe.tcp_peer()},
                {"service", service},
                {"peer", pipe.slot_peer()},
                {"to_slot", pipe.to_slot()},
                {"from_slot", pipe.from_slot()},
                {"seconds", seconds},
                {"reason", pipe.reason()}});
  } else {
    std::fprintf(stderr, "%s connection %llu tcp %s slot %s %s: %llu bytes to the slot, %llu from it, %.3f s: %s: %s\n",
                 time_now().c_str(), static_cast<unsigned long long>(pipe.number()), pipe.tcp_peer().c_str(),
                 service.c_str(), pipe.slot_peer().c_str(), static_cast<unsigned long long>(pipe.to_slot()),
                 static_cast<unsigned long long>(pipe.from_slot()), seconds, pipe.broken() ? "broken" : "closed",
                 pipe.reason().c_str());
  }
}

void AccessLog::trouble(const std::string& text) {
  if (json_) {
    print_json({{"event", "trouble"}, {"time", time_now()}, {"text", text}});
  } else {
    std::fprintf(stderr, "%s %s\n", time_now().c_str(), text.c_str());
  }
}

void AccessLog::sums() {
  if (json_) {
    print_json({{"event", "stopped"},
                {"time", time_now()},
                {"connections", connections_},
                {"broken", broken_},
                {"to_slot", to_slot_},
                {"from_slot", from_slot_}});
  } else if (!quiet_) {
    std::fprintf(stderr, "%s stopped: %llu connections, %llu of them broken, %llu bytes to slots, %llu from them\n",
                 time_now().c_str(), static_cast<unsigned long long>(connections_),
                 static_cast<unsigned long long>(broken_), static_cast<unsigned long long>(to_slot_),
                 static_cast<unsigned long long>(from_slot_));
  }
}

}  // namespace slotwire::cli
