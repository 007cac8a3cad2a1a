// Requests to slotwired that need no session: status, slots, sessions, cut, capture (docs/control.md).
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "runtime/control/codec.hpp"
#include "runtime/control/packet_socket.hpp"

namespace slotwire::control {

/// Why slotwired gave no answer, or one that says no; what() is a sentence with what to do.
class ToolError : public std::runtime_error {
 public:
  enum class Kind : std::uint8_t {
    usage,        ///< the path cannot be a socket's
    not_there,    ///< nobody listens, or it went away
    no_access,    ///< this user may not connect, or somebody else listens there
    not_allowed,  ///< the request carries a descriptor that this user may not send
    no_answer,    ///< not in time
    refused,      ///< slotwired said no: code()
    broken,       ///< an answer that cannot be
  };
  ToolError(Kind kind, const std::string& text, std::string code = "")
      : std::runtime_error(text), kind_(kind), code_(std::move(code)) {}
  Kind kind() const { return kind_; }
  /// Of docs/control.md, "Process and engine".
  const std::string& code() const { return code_; }

 private:
  Kind kind_;
  std::string code_;
};

/// One thread.
class ToolClient {
 public:
  /// Connects to slotwired. Throws ToolError.
  explicit ToolClient(std::string path);

  /// Sends a request, with descriptors if given, and waits for its answer at most kAnswerMs. Throws ToolError.
  /// `got`: takes the descriptors that come with the answer; none: they are closed.
  Json ask(const Request& request, const std::vector<int>& fds = {}, std::vector<slot::Fd>* got = nullptr);
  /// All rows of a paged request (SlotsRequest, SessionsRequest).
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
  /// Appends the rows of a page; where the next one starts, or -1. Throws ToolError when the pages do not advance.
  static std::int64_t append_page(const Json& page, const std::string& name, std::int64_t from, Json& rows);

  std::string path_;
  PacketSocket socket_;
  std::uint64_t last_id_ = 0;
};

/// Where slotwired listens unless it is said: $SLOTWIRE_SOCKET, else /run/slotwire/slotwire.sock.
std::string default_socket_path();

}  // namespace slotwire::control
