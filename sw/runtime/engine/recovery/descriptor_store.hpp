// What survives slotwired: descriptors under tags, in the keeper. The tags have their one format here.
#pragma once
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/slot/memory.hpp"
#include "runtime/control/messages.hpp"
#include "runtime/engine/host/result.hpp"

namespace slotwire::engine {

/// What lies under a tag of the keeper. The numbers are kept over releases: a restarted slotwired of a later one reads
/// them.
enum class KeptKind : std::uint32_t {
  admin = 1,    ///< the file of admin memory; index 0
  session = 2,  ///< bell page, polled page, kick (timerfd); index of the session
  slot = 3,     ///< space file A, wake (timerfd), and space file B where there is one; number of the slot
  region = 4,   ///< the directory of a region and its record; its place in the table
  cell = 5,     ///< the directory of a cell, its record, and the engine's end of its channel; its place in the table
  list = 6,     ///< a list's file of a cell; a cell's place in the upper, the list's number in the lower 16 bits
};

/// A tag: the kind in the upper half, the index in the lower.
struct KeptTag {
  KeptKind kind;
  std::uint32_t index;

  static KeptTag of_admin() { return {KeptKind::admin, 0}; }
  static KeptTag of_session(std::uint32_t index) { return {KeptKind::session, index}; }
  static KeptTag of_slot(std::uint16_t slot) { return {KeptKind::slot, slot}; }
  static KeptTag of_region(std::uint32_t index) { return {KeptKind::region, index}; }
  static KeptTag of_cell(std::uint32_t index) { return {KeptKind::cell, index}; }
  static KeptTag of_list(std::uint16_t cell, std::uint16_t number) {
    return {KeptKind::list, (std::uint32_t{cell} << 16U) | number};
  }
  static KeptTag from_number(std::uint64_t number) {
    return {static_cast<KeptKind>(number >> 32U), static_cast<std::uint32_t>(number)};
  }
  std::uint64_t number() const { return (static_cast<std::uint64_t>(kind) << 32U) | index; }
};

/// The keeper takes its time: nothing was done, and the request is to be tried again when it has answered. Whoever
/// cannot wait refuses it.
struct StoreLate : control::Refusal {
  explicit StoreLate(std::string why) : control::Refusal{"busy", std::move(why)} {}
};
/// A request waits for the keeper at most so long.
inline constexpr std::uint64_t kStorePatienceUs = 30'000'000;
/// One that waits longer than this is worth a line in the log.
inline constexpr std::uint64_t kStoreSlowUs = 500'000;

/// How well the descriptors are kept, for the status.
struct StoreReport {
  /// `keeps`: all is kept; `gone`: a process of the keeper has ended and is to be started anew; `starts`: it is being
  /// started; `silent`: a process of it does not answer, what it keeps stays kept; `hands over`: the new one gets what
  /// the old one had; `incomplete`: something was lost with it.
  std::string_view state = "keeps";
  std::vector<pid_t> processes;  ///< of the keeper, that are running
  std::uint64_t starts = 0;      ///< times that one was started anew
  std::size_t kept = 0;          ///< tags
  std::size_t waiting = 0;       ///< tags that a new process has not got yet
  std::size_t lost = 0;          ///< tags that would not outlive slotwired
  std::string text;              ///< what is wrong, and what happens next; empty: nothing
};

/// Keeps duplicates of descriptors over the death of slotwired. One thread.
class DescriptorStore {
 public:
  virtual ~DescriptorStore() = default;
  /// False: an answer of the keeper is awaited, and until it is there store() and fetch() fail. One that failed so has
  /// no effect, also when it is carried out late.
  virtual bool ready() const { return true; }
  /// Called from the loop when it is ready again.
  virtual void on_ready(std::function<void()> /*again*/) {}
  /// Keeps duplicates of 1 to 4 descriptors under a tag that is not in use.
  [[nodiscard]] virtual Result<void> store(std::uint64_t tag, std::span<const int> fds) = 0;
  /// Closes the duplicates under the tag. The result may be left: it fails only when there is nothing under the tag, or
  /// when the keeper has ended.
  virtual Result<void> remove(std::uint64_t tag) = 0;
  /// Duplicates of the descriptors under the tag, in the order stored; they stay kept. Fails when there is nothing
  /// under the tag, when the keeper has ended, or when this process may not open so many files.
  virtual Result<std::vector<slot::Fd>> fetch(std::uint64_t tag) = 0;
  virtual StoreReport report() const { return {}; }
};

}  // namespace slotwire::engine
