// Requests to slotwired that need no session: status, slots, sessions, cut, capture (docs/control.md).
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/control/packet_socket.hpp"
#include "tools/slotwire/common.hpp"

namespace slotwire::cli {

using Json = nlohmann::json;

/// One thread.
class ControlClient {
 public:
  /// Connects to slotwired. Throws CommandError.
  explicit ControlClient(const Common& common);

  /// Sends a request, with descriptors if given, and waits for its answer at most kAnswerMs. Throws CommandError with
  /// what slotwired said, or that it does not answer.
  Json ask(Json request, const std::vector<int>& fds = {});
  /// All rows of a paged request ("slots", "sessions").
  Json ask_all(const std::string& op);

  /// Longest wait for an answer, milliseconds.
  static constexpr int kAnswerMs = 5000;

 private:
  std::string path_;
  control::PacketSocket socket_;
  std::uint64_t last_id_ = 0;
};

}  // namespace slotwire::cli
