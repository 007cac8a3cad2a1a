// What the parts of the benchmark do with libslotwire's C ABI.
#pragma once
#include <functional>
#include <string>

#include "slotwire.h"

namespace slotwire::bench {

/// Throws unless it is SW_OK.
void check(int status, const std::string& what);

/// A session with a node.
class SlotContext {
 public:
  explicit SlotContext(const std::string& socket);
  ~SlotContext();
  SlotContext(const SlotContext&) = delete;
  SlotContext& operator=(const SlotContext&) = delete;
  sw_context* get() const { return context_; }
  /// Waits for a service that is not there yet. No options: the node's default rings.
  sw_connection* connect(const std::string& service, const sw_connect_options* options = nullptr);
  sw_service* serve(const std::string& service);

 private:
  sw_context* context_ = nullptr;
};

/// Opens `count` connections to a service, `at_once` of them at one time, and gives each to `opened`. Returns why it
/// ended early; empty: it did not.
std::string open_many(sw_context* context, const std::string& service, std::size_t count, std::size_t at_once,
                      const std::function<void(sw_connection*)>& opened);

/// Answers each request with its own bytes, for good. Calls `ready` when it can be connected to.
void serve_echo(const std::string& socket, const std::string& name, const std::function<void()>& ready);

}  // namespace slotwire::bench
