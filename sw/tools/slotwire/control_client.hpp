// Requests to slotwired that need no session, with the errors and exit statuses of slotwire.
#pragma once
#include <optional>
#include <vector>

#include "runtime/control/tool_client.hpp"
#include "tools/slotwire/common.hpp"

namespace slotwire::cli {

using Json = nlohmann::json;

/// control::ToolClient; throws CommandError instead. One thread.
class ControlClient {
 public:
  explicit ControlClient(const Common& common);

  Json ask(const control::Request& request, const std::vector<int>& fds = {}) {
    return told([&] { return client_->ask(request, fds); });
  }
  template <class Paged>
  Json ask_all() {
    return told([&] { return client_->ask_all<Paged>(); });
  }

 private:
  [[noreturn]] static void fail(const control::ToolError& error);
  template <class Ask>
  static Json told(Ask&& ask) {
    try {
      return ask();
    } catch (const control::ToolError& error) {
      fail(error);
    }
  }

  std::optional<control::ToolClient> client_;
};

}  // namespace slotwire::cli
