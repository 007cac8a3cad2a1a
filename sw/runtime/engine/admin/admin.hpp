// Admin memory: the descriptor of every slot and session. The engine alone maps it; it survives the engine in the
// keeper.
//
// Plain fixed-size rows: a restarted engine takes them as they stand, checking each. Strings are zero-terminated.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "core/regs/regs.hpp"
#include "core/slot/memory.hpp"
#include "runtime/control/messages.hpp"

namespace slotwire::engine {

inline constexpr std::size_t kNameBytes = 64;  ///< names of nodes, services and processes, the zero included
inline constexpr std::uint32_t kNoSession = ~std::uint32_t{0};
inline constexpr std::uint32_t kNoSlotIndex = ~std::uint32_t{0};
inline constexpr std::size_t kMaxAdminLinks = 256;

/// How a slot is joined to its peer.
enum class Pairing : std::uint8_t {
  none = 0,  ///< the descriptor is free
  opening,   ///< memory is there, the peer is not yet
  remote,    ///< over a link
  direct,    ///< with a slot of this node, one ring shared
  strict,    ///< with a slot of this node, the engine copies
  spare,     ///< with none: closed, its memory kept for the next connection of its process
};

/// Where a slot is in its life.
enum class Phase : std::uint8_t {
  open = 0,
  draining,   ///< its process closed it or died; what it wrote is still being delivered
  peer_gone,  ///< the peer has ended; its process has not closed it yet
};

using control::End;  // its numbers are part of the layout

/// Everything the engine knows of a slot beside its pipeline row.
struct SlotDescriptor {
  Pairing pairing;
  Phase phase;
  End end;
  std::uint8_t acceptor;  ///< 1: made by an open from the peer, 0: by this side's connect
  std::uint8_t in_order;
  std::uint8_t out_order;
  std::uint16_t partner;      ///< direct, strict: the other slot
  std::uint32_t has_partner;  ///< 1 while the other slot exists
  std::uint32_t session;      ///< index of its owner; kNoSession when the owner has ended
  std::uint32_t local;        ///< its bell in the session
  std::uint32_t peer_pid, peer_uid;
  std::uint32_t account;     ///< 1 + the user that it is counted for; 0: not known
  std::uint64_t in_offset;   ///< in slot memory
  std::uint64_t out_offset;  ///< in slot memory; kNoOffset when there is no output space
  std::uint64_t opened_us;   ///< monotonic
  char service[kNameBytes];
  char peer_node[kNameBytes];
  char peer_name[kNameBytes];
};
inline constexpr std::uint64_t kNoOffset = ~std::uint64_t{0};

/// What identifies a session over a restart of the engine.
struct SessionRecord {
  std::uint32_t used;
  std::int32_t pid;
  std::uint32_t uid;
  std::uint32_t drained;  ///< 1: by command, it gets no new connections
  std::uint64_t id;
  std::uint64_t start_time;  ///< of the process, clock ticks since boot
  std::uint8_t token[16];
  char name[kNameBytes];
};

struct AdminHeader {
  std::uint64_t magic;
  std::uint32_t layout;
  std::uint32_t slots;
  std::uint32_t sessions;
  std::uint32_t lives;        ///< engines that have run on this memory
  std::uint64_t incarnation;  ///< random, for the life of this memory
  std::uint64_t next_session_id;
  std::uint64_t slot_memory;  ///< bytes
  char node[kNameBytes];
  char links[kMaxAdminLinks][kNameBytes];  ///< peer of each link number; empty: none
};

static_assert(std::is_trivially_copyable_v<SlotDescriptor> && std::is_trivially_copyable_v<SessionRecord> &&
              std::is_trivially_copyable_v<AdminHeader>);

/// Copies a name, cut to fit between two characters of UTF-8.
void set_name(char (&to)[kNameBytes], std::string_view from);
/// Reads a name; a missing zero does not run on.
std::string_view get_name(const char (&from)[kNameBytes]);

class Admin {
 public:
  /// New, zeroed admin memory. Throws std::system_error.
  Admin(std::string_view node, std::size_t slots, std::size_t sessions, std::uint64_t slot_memory);
  /// Takes up admin memory of an earlier life. Throws std::invalid_argument saying what does not fit (another layout,
  /// other limits).
  Admin(slot::Fd file, std::string_view node, std::size_t slots, std::size_t sessions, std::uint64_t slot_memory);

  AdminHeader& header() { return *reinterpret_cast<AdminHeader*>(mapping_.data()); }
  std::span<regs::SlotRow> rows() { return {at<regs::SlotRow>(rows_at_), slots_}; }
  std::span<SlotDescriptor> slots() { return {at<SlotDescriptor>(slots_at_), slots_}; }
  std::span<SessionRecord> sessions() { return {at<SessionRecord>(sessions_at_), sessions_}; }
  const slot::Fd& file() const { return file_; }

 private:
  void lay_out(std::size_t slots, std::size_t sessions);
  template <typename T>
  T* at(std::size_t offset) {
    return reinterpret_cast<T*>(mapping_.data() + offset);
  }

  std::size_t slots_ = 0, sessions_ = 0, rows_at_ = 0, slots_at_ = 0, sessions_at_ = 0, bytes_ = 0;
  slot::Fd file_;
  slot::Mapping mapping_;
};

}  // namespace slotwire::engine
