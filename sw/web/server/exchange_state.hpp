// What an Exchange holds. It outlives its connection when its owner keeps it.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "slotwire_web.hpp"
#include "web/http/body.hpp"
#include "web/http/head.hpp"

namespace slotwire::web::detail {

using Clock = std::chrono::steady_clock;

struct ExchangeState {
  ServerConnection* connection = nullptr;  ///< null: the exchange is over
  std::shared_ptr<Mailbox> mailbox;
  http::Head head;
  http::Framing framing;
  std::string_view upgrade_to;
  Peer client;
  std::optional<Clock::time_point> deadline;
  Clock::time_point begun = Clock::now();
  Abort abort = Abort::none;
  std::function<void()> on_body, on_room;
  std::function<void(Abort)> on_abort;

  // The response.
  bool started = false;
  std::string problem;
  unsigned status = 0;
  http::BodyKind out_kind = http::BodyKind::none;
  std::uint64_t out_left = 0;  ///< with BodyKind::length
  std::uint64_t body_in = 0, body_out = 0;
};

}  // namespace slotwire::web::detail
