#include "sim/engine/node_invariants.hpp"

#include <map>
#include <set>
#include <tuple>
#include <vector>

namespace slotwire::sim {
namespace {

using engine::Pairing;
using engine::Resource;
using engine::SlotDescriptor;

/// One look at a node.
class Look {
 public:
  Look(engine::Node& node, const SimStore& store)
      : node_(node),
        slots_(node.slots()),
        sessions_(node.sessions()),
        store_(store),
        slots_of_session_(node.sessions().limit()) {}

  std::string result() {
    for (std::size_t i = 0; i < slots_.count(); ++i) look_at(static_cast<std::uint16_t>(i));
    if (used_ != slots_.used()) {
      wrong(std::to_string(used_) + " slots are in use, and " + std::to_string(slots_.used()) + " counted");
    }
    look_at_sessions();
    look_at_users();
    look_at_peers();
    return wrong_;
  }

 private:
  void wrong(const std::string& what) {
    if (wrong_.empty()) wrong_ = what;
  }

  void look_at(std::uint16_t slot) {
    const SlotDescriptor& d = slots_.descriptor(slot);
    if (d.pairing == Pairing::none) return;
    if (d.pairing == Pairing::spare) return look_at_spare(slot);
    ++used_;
    ++slots_of_user_[d.account == 0 ? 0 : d.account - 1];
    if (d.acceptor != 0 && d.pairing == Pairing::remote) ++slots_of_peer_[std::string(engine::get_name(d.peer_node))];
    const std::string at = "slot " + std::to_string(slot);
    if (!store_.has(engine::KeptTag::of_slot(slot).number())) wrong(at + " is not kept");
    if (d.session == engine::kNoSession) {
      if (d.phase != engine::Phase::draining) wrong(at + " belongs to nobody and does not drain");
    } else {
      const engine::Session* const owner = sessions_.find(d.session);
      if (owner == nullptr || d.local >= owner->slots.size() || owner->slots[d.local] != slot) {
        wrong(at + " and its session do not agree");
      } else {
        ++slots_of_session_[d.session];
      }
    }
    if (d.pairing == Pairing::direct && d.has_partner != 0 &&
        (slots_.descriptor(d.partner).pairing != Pairing::direct || slots_.descriptor(d.partner).partner != slot)) {
      wrong(at + " is paired with one that is not paired with it");
    }
    const regs::SlotRow& row = node_.card().row(slot);
    if (d.pairing == Pairing::remote && static_cast<regs::SlotState>(row.state) == regs::SlotState::bound &&
        !peers_.emplace(row.link, row.peer_slot, row.epoch).second) {
      wrong("two slots are paired with slot " + std::to_string(row.peer_slot) + " of the peer");
    }
  }

  void look_at_spare(std::uint16_t slot) {
    const SlotDescriptor& d = slots_.descriptor(slot);
    ++spares_;
    ++slots_of_user_[d.account == 0 ? 0 : d.account - 1];
    const std::string at = "spare slot " + std::to_string(slot);
    if (!store_.has(engine::KeptTag::of_slot(slot).number())) wrong(at + " is not kept");
    if (sessions_.find(d.session) == nullptr) wrong(at + " has no session");
    if (static_cast<regs::SlotState>(node_.card().row(slot).state) != regs::SlotState::free) wrong(at + " is paired");
  }

  void look_at_sessions() {
    std::size_t count = 0;
    for (std::uint32_t i = 0; i < sessions_.limit(); ++i) {
      const engine::Session* const session = sessions_.find(i);
      if (session == nullptr) continue;
      ++count;
      if (session->slot_count != slots_of_session_[i]) wrong("a session counts slots that are not its own");
    }
    if (count != sessions_.used()) wrong("sessions are counted wrong");
    if (spares_ != slots_.spares()) wrong("spare slots are counted wrong");
    if (store_.size() != 1 + count + used_ + spares_ + node_.regions().kept()) {
      wrong("the keeper has " + std::to_string(store_.size()) + " entries for " + std::to_string(count) +
            " sessions, " + std::to_string(used_) + " slots and " + std::to_string(node_.regions().kept()) +
            " of regions");
    }
  }

  void look_at_users() {
    const engine::UserAccounts& users = node_.users();
    if (users.total(Resource::sessions) != sessions_.used()) wrong("users hold other sessions than there are");
    if (users.total(Resource::slots) != used_ + spares_) wrong("users hold other slots than there are");
    if (users.total(Resource::pending_opens) != node_.connector().pending()) {
      wrong("users hold other pending opens than there are");
    }
    for (const auto& [uid, count] : slots_of_user_) {
      if (users.held(uid, Resource::slots) != count) wrong("user " + std::to_string(uid) + " is charged wrongly");
    }
  }

  void look_at_peers() {
    const engine::PeerAccounts& accounts = node_.accounts();
    std::uint64_t slots = 0;
    for (const auto& [peer, count] : slots_of_peer_) {
      slots += count;
      if (accounts.held(peer, engine::PeerResource::slots) != count) wrong("peer " + peer + " is charged wrongly");
    }
    if (accounts.total(engine::PeerResource::slots) != slots) wrong("peers hold other slots than they opened");
    if (accounts.total(engine::PeerResource::pending_opens) !=
        node_.connector().pending() + node_.connector().waiting())
      wrong("peers hold other pending opens than there are");
    if (slots == 0 && accounts.total(engine::PeerResource::memory) != 0) wrong("peers hold memory without slots");
  }

  engine::Node& node_;
  engine::SlotTable& slots_;
  engine::SessionTable& sessions_;
  const SimStore& store_;
  std::size_t used_ = 0, spares_ = 0;
  std::vector<std::uint32_t> slots_of_session_;
  std::map<uid_t, std::uint64_t> slots_of_user_;
  std::map<std::string, std::uint64_t> slots_of_peer_;
  std::set<std::tuple<std::uint16_t, std::uint16_t, std::uint16_t>> peers_;  ///< (link, slot of the peer, epoch)
  std::string wrong_;
};

}  // namespace

std::string broken_invariant(engine::Node& node, const SimStore& store) {
  return Look(node, store).result();
}

}  // namespace slotwire::sim
