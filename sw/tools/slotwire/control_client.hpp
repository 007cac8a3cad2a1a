// Requests to slotwired that need no session: status, slots, sessions, cut, capture (docs/control.md).
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/control/codec.hpp"
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
  Json ask(const control::Request& request, const std::vector<int>& fds = {});
  /// All rows of a paged request (control::SlotsRequest, control::SessionsRequest).
  template <class Paged>
  Json ask_all() {
    Json rows = Json::array();
    Paged request;
    for (std::int64_t next = 0; next >= 0;) {
      request.from = static_cast<std::uint64_t>(next);
      next = append_page(ask(request), std::string(Paged::kName), next, rows);
    }
    return rows;
  }

  /// Longest wait for an answer, milliseconds.
  static constexpr int kAnswerMs = 5000;

 private:
  /// Appends the rows of a page; where the next one starts, or -1. Throws CommandError when the pages do not advance.
  static std::int64_t append_page(const Json& page, const std::string& name, std::int64_t from, Json& rows);

  std::string path_;
  control::PacketSocket socket_;
  std::uint64_t last_id_ = 0;
};

}  // namespace slotwire::cli
