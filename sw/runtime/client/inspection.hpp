// What a process looks at for its node: the requests that arrive on connections to a service (docs/inspection.md).
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "core/inspect/counts.hpp"
#include "core/inspect/inspector.hpp"
#include "runtime/control/messages.hpp"

namespace slotwire::client {

/// What was found in all connections of one service since the engine was told last. One thread.
struct InspectedService final : public inspect::Listener {
  /// Between two messages to the engine, nanoseconds.
  static constexpr std::int64_t kIntervalNs = 1'000'000'000;

  inspect::Language language = inspect::Language::none;
  bool refuses = false;
  inspect::Counts counts;
  std::int64_t told_ns = 0;
  std::function<void()> tell;

  void on_message(const inspect::Message& message) override { counts.add(message.label); }
  /// The message to the engine; counts anew from now on.
  control::Inspected take(const std::string& service);
  /// Tells the engine, unless it was told less than kIntervalNs ago.
  void tell_now_and_then();
};

/// One direction of one connection.
class Inspection {
 public:
  explicit Inspection(InspectedService& service);

  /// False: the record is not what the service speaks. problem() says why.
  bool look(const slot::RecordHeader& header, std::string_view payload);
  std::string_view problem() const { return inspector_.problem(); }
  InspectedService& service() { return service_; }

 private:
  InspectedService& service_;
  inspect::Inspector inspector_;
};

}  // namespace slotwire::client
