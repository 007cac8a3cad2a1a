// The life of every slot: opened, paired, drained, closed. Owns slot memory and the descriptors in admin memory.
//
//   open() -> opening -> pair_remote() or pair_here() -> paired -> begin_close() -> draining -> free
//                 \-> free                                     \-> peer_ended() -> peer_gone -> begin_close() -> free
//
// In the place of free, a slot may become spare: its memory stays with its process, for the next connection
// (slot_reuse.cpp).
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/blocks/buddy.hpp"
#include "driver/card.hpp"
#include "runtime/control/messages.hpp"
#include "runtime/engine/admin/admin.hpp"
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/host/node_log.hpp"
#include "runtime/engine/recovery/descriptor_store.hpp"
#include "runtime/engine/sessions/session_table.hpp"
#include "runtime/engine/slots/link_slots.hpp"
#include "runtime/engine/slots/peer_accounts.hpp"
#include "runtime/engine/slots/spare_slots.hpp"

namespace slotwire::engine {

/// What the slots need of the control connections. Called from within the table's functions; must not call back.
class CloseTeller {
 public:
  virtual ~CloseTeller() = default;
  /// Tells the peer of `link` that a pairing ends.
  virtual void tell_close(std::uint16_t link, const control::PeerClose& close) = 0;
  /// Whether the peer can be told now.
  virtual bool can_tell(std::uint16_t link) const = 0;
  /// Whether lines flow over the link and its peer can be told.
  virtual bool usable(std::uint16_t link) const = 0;
};

/// What the slot table needs. All of it outlives the table.
struct SlotParts {
  const Config& config;
  Admin& admin;
  driver::Card& card;
  const EventLoop& clock;
  DescriptorStore& store;
  SessionTable& sessions;
  PeerAccounts& accounts;  ///< of peers
  CloseTeller& peers;
  NodeLog& log;
  RandomBits random;
  std::uint16_t loop_link = 0;  ///< the link that strict pairs run over
};

/// How a new slot is asked for.
struct SlotWish {
  std::uint32_t session = 0;
  std::optional<std::uint16_t> link;  ///< that it will be paired over; none: within the node
  unsigned in_order = 0, out_order = 0;
  Pairing pairing = Pairing::none;  ///< what it will become: remote, direct or strict
  std::string_view service;
  bool acceptor = false;
  std::optional<uid_t> payer{};  ///< the user that it is counted for; none: the session's
  std::string_view opened_by{};  ///< the peer that it is counted for as well; empty: none
};

/// What the process that closes a slot does with its memory.
enum class SlotMemory : std::uint8_t {
  given_back,  ///< unmaps it
  spare,       ///< keeps it mapped for its next connection, until it is told to forget it
};

/// Where the positions of a pairing's rings begin, as one end sees them (docs/protocol.md, R1).
struct FirstPositions {
  slot::Position in = 0, out = 0;
  /// As the other end sees them.
  FirstPositions swapped() const { return {out, in}; }
};

/// The other end of a pairing over a link.
struct RemoteEnd {
  std::uint16_t link = 0;
  std::uint16_t slot = 0;
  std::uint16_t epoch = 0;
  FirstPositions first;  ///< of the own rings
  std::string_view node;
  control::ProcessInfo process;
};

/// A pairing over a link, as its messages name it.
struct RemotePair {
  std::uint16_t link = 0;
  std::uint16_t peer_slot = 0;
  std::uint16_t epoch = 0;
};

/// One thread, the card's. Slots are numbers 0..limits.slots-1.
class SlotTable {
 public:
  /// Called when a slot closes that is still opening, before it is freed.
  using Abandoned = std::function<void(std::uint16_t slot, End end)>;

  explicit SlotTable(SlotParts parts);
  void on_abandoned(Abandoned abandoned) { abandoned_ = std::move(abandoned); }

  // --- opening and pairing ---

  /// Makes a slot with its memory. It is `opening` until it is paired; discard() gives it back. Throws Refusal (quota,
  /// no_memory).
  std::uint16_t open(const SlotWish& wish);
  /// open() for both ends of a pair of this node: both or none. They may have the memory of an earlier direct pair of
  /// the same two sessions.
  std::pair<std::uint16_t, std::uint16_t> open_pair(const SlotWish& first, const SlotWish& second);
  /// Pairs with a slot of another node.
  void pair_remote(std::uint16_t slot, const RemoteEnd& peer);
  /// Pairs two slots of this node, which were opened for `pairing` (direct or strict).
  void pair_here(std::uint16_t a, std::uint16_t b, Pairing pairing);
  /// Frees a slot that nobody was told of.
  void discard(std::uint16_t slot);
  /// Frees both ends of a pair of this node that nobody was told of.
  void discard_pair(std::uint16_t a, std::uint16_t b);
  std::uint16_t random_epoch() { return static_cast<std::uint16_t>(parts_.random()); }
  FirstPositions random_positions() { return {parts_.random(), parts_.random()}; }

  // --- closing ---

  /// The slot's process gives it up: what it wrote is delivered first (for limits.linger at most), then its peer told.
  /// `memory`: spare slots may be refused; the process is told.
  void begin_close(std::uint16_t slot, End end, SlotMemory memory = SlotMemory::given_back);
  /// Finishes slots that are drained, or for whom it has taken too long.
  void check_draining(std::uint64_t now_us);
  /// The peer has ended: the process is told, and may read what has arrived.
  void peer_ended(std::uint16_t slot, End end, const std::string& text = {});
  /// Where the output space of a slot is has changed, as of CardListener.
  void output_changed(std::uint16_t slot);
  /// The card faulted the slot.
  void faulted(std::uint16_t slot, regs::Fault fault);

  // --- spare slots ---

  /// The session has ended: nobody has its spare slots mapped.
  void drop_spares_of(std::uint32_t session);
  /// Frees those that were not used for limits.spare_time.
  void drop_old_spares(std::uint64_t now_us);

  // --- what the peer of a link says ---

  /// The slots of this link that are paired, for a sync.
  std::vector<control::SyncPair> pairs_of(std::uint16_t link) const;
  /// A slot of the link is paired with this slot of the peer, in this epoch.
  bool is_paired_with(std::uint16_t link, std::uint16_t peer_slot, std::uint16_t epoch) const;
  /// The slot of that number, if it has this pairing.
  std::optional<std::uint16_t> find_pair(std::uint16_t link, std::uint16_t slot, std::uint16_t peer_slot,
                                         std::uint16_t epoch) const;
  /// The pairing of a slot over a link to another node; none: it has none.
  std::optional<RemotePair> remote_pair(std::uint16_t slot) const;
  /// Whether the slot is in a pairing over a link of this epoch.
  bool is_in_epoch(std::uint16_t slot, std::uint16_t epoch) const {
    const std::optional<RemotePair> pair = remote_pair(slot);
    return pair && pair->epoch == epoch;
  }
  /// Ends every pairing of the link that `has` says the peer has not.
  void keep_only(std::uint16_t link, const std::function<bool(std::uint16_t slot, std::uint16_t epoch)>& has);
  /// The peer started anew: every pairing of the link ends as lost.
  void link_lost(std::uint16_t link, const std::string& text);
  /// The link was down for too long: every pairing of it ends as lost, and the peer is told if it can be. Returns how
  /// many there were.
  std::size_t give_up_link(std::uint16_t link, const std::string& text);
  /// The peer closes a pairing. One that has ended already is not an error: both ends may close at once.
  void peer_closed(std::uint16_t link, const control::PeerClose& close);
  /// Tells the sessions with slots on the link, or one of them, whether it is usable.
  void tell_link(std::uint16_t link, const control::LinkEvent& event, std::optional<std::uint32_t> only = std::nullopt);

  // --- looking ---

  const SlotDescriptor& descriptor(std::uint16_t slot) const { return parts_.admin.slots()[slot]; }
  bool is_opening(std::uint16_t slot) const { return descriptor(slot).pairing == Pairing::opening; }
  std::size_t count() const { return parts_.admin.slots().size(); }
  std::size_t used() const { return used_; }
  /// Spare slots, which used() leaves out.
  std::size_t spares() const { return spares_.size(); }
  std::size_t draining() const { return draining_.size(); }
  /// What spare slots have counts as free, since it is given up when it is wanted.
  blocks::BuddyStats memory() const;
  /// Lines of draining slots that were not delivered yet.
  std::uint64_t undelivered_lines() const;
  /// A slot as its process is told of it.
  control::SlotInfo info(std::uint16_t slot) const;
  /// Descriptors of a slot for its process, in the order of docs/control.md; `temporary` holds those made for it.
  std::vector<int> descriptors(std::uint16_t slot, std::vector<slot::Fd>& temporary);
  /// "'name' (pid 42) on node 'b'".
  std::string peer_text(std::uint16_t slot) const;

  // --- taking up an earlier life ---

  /// Takes up a slot from its descriptors. False: it cannot be, and its descriptors may be dropped. `has_link`: which
  /// links are configured.
  bool recover(std::uint16_t slot, std::vector<slot::Fd>& fds, const std::function<bool(std::uint16_t)>& has_link);
  /// After all slots were recovered: clears remains, and goes on with what was ending.
  void finish_recovery();

 private:
  driver::SlotFiles space_files(std::uint16_t slot);
  const slot::Fd& own_file(std::uint16_t slot, std::vector<slot::Fd>& temporary);
  struct Draining {
    std::uint16_t slot = 0;
    std::uint64_t deadline_us = 0;
  };

  SlotDescriptor& at(std::uint16_t slot) { return parts_.admin.slots()[slot]; }
  bool is_remote(std::uint16_t slot) const { return descriptor(slot).pairing == Pairing::remote; }
  static std::uint64_t bytes_of(const SlotDescriptor& d);
  std::uint16_t next_free();
  void release_memory(std::uint64_t offset);
  void keep(std::uint16_t slot);
  void bind(std::uint16_t slot, std::uint16_t link, std::uint16_t peer_slot, std::uint16_t epoch, FirstPositions first);
  void disown(std::uint16_t slot);
  uid_t account_of(std::uint16_t slot) const;
  void charge(std::uint16_t slot, uid_t uid);
  void uncharge(std::uint16_t slot);
  std::uint64_t mapped_bytes(std::uint16_t slot) const;
  void plan_output(std::uint16_t slot, const SlotWish& wish);
  std::string_view opener_of(std::uint16_t slot) const;
  void charge_opener(std::uint16_t slot);
  void charge_to_owner(std::uint16_t slot);
  bool nobody_reads(const SlotDescriptor& d) const;
  void free(std::uint16_t slot);
  void give_back(std::uint16_t slot);
  std::uint16_t open_new(const SlotWish& wish);
  void enroll(std::uint16_t slot, const SlotWish& wish, std::uint64_t in_offset, std::uint64_t out_offset);
  static std::uint64_t bytes_of(const SlotWish& wish);
  uid_t payer_of(const SlotWish& wish) const;
  void check_accounts(const SlotWish& wish, std::uint64_t count, std::uint64_t bytes);
  // slot_reuse.cpp
  struct Owner {
    std::uint32_t session = 0;
    std::uint64_t id = 0;  ///< of the session, whose index may be another one's by now
  };
  bool is_attached(const Owner& owner) const;
  /// The session that the slot belongs to.
  Owner owner_of(std::uint16_t slot) const;
  bool make_spare(std::uint16_t slot);
  bool may_be_spare(std::uint16_t slot, const Owner& owner) const;
  void reuse(const SpareSlot& spare, const SlotWish& wish);
  void make_room(const SlotWish& wish, std::uint64_t count, std::uint64_t bytes);
  void drop_spares(const std::vector<std::uint16_t>& slots);
  void drop_all_spares();
  void drop_taken(const SpareSlot& spare);
  void tell_forget(const Owner& owner, std::uint16_t slot);
  void drain(std::uint16_t slot);
  void finish_close(std::uint16_t slot);
  void stop(std::uint16_t slot, End end, const std::string& text);
  void tell_closed(const SlotDescriptor& d, const std::string& text);
  /// The card has a pairing for it, faulted or not.
  bool is_paired(std::uint16_t slot) const;

  SlotParts parts_;
  Abandoned abandoned_;
  blocks::BuddyAllocator memory_;
  LinkSlots by_link_;
  std::vector<Draining> draining_;
  SpareSlots spares_;
  std::unordered_map<std::uint16_t, UserAccounts::Charge>
      mapped_;                                        ///< slots whose output space the card may write into
  std::unordered_map<std::uint16_t, Owner> offered_;  ///< slots that close, whose process keeps their memory
  std::unordered_map<std::uint16_t, Owner> reused_;   ///< slots that are open with memory of spare ones
  std::unordered_map<std::uint16_t, std::uint16_t>
      awaited_;  ///< open slots of direct pairs: the partner, spare already
  std::uint32_t next_slot_ = 0;
  std::size_t used_ = 0;
};

}  // namespace slotwire::engine
