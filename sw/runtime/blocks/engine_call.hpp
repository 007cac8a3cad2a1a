// What a process asks slotwired about a region, where there is a slotwired (docs/blocks.md, "With slotwired").
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/slot/memory.hpp"
#include "runtime/control/tool_client.hpp"

namespace slotwire::blocks {

/// A connection to the node's slotwired. One thread.
class EngineCall {
 public:
  struct Answer {
    control::RegionAnswer fields{};
    std::vector<slot::Fd> fds{};
  };

  /// Nothing, if no slotwired is there that this process takes for one ($SLOTWIRE_SOCKET, or the default). Waits
  /// control::ToolClient::kAnswerMs at most.
  static std::unique_ptr<EngineCall> connect(const std::string& region);

  /// Where the region's memory is. Nothing: slotwired has gone, or knows no regions. Throws std::runtime_error when it
  /// refuses, or does not answer.
  std::optional<Answer> ask(bool make, std::uint64_t bytes = 0);

 private:
  EngineCall(const std::string& region, const std::string& path) : region_(region), client_(path) {}
  std::string region_;
  control::ToolClient client_;
};

}  // namespace slotwire::blocks
