// Taking up what an earlier life of the engine left: admin memory, sessions and slots, out of the keeper.
#include <algorithm>
#include <random>

#include "runtime/engine/engine.hpp"

namespace slotwire::engine {
namespace {

constexpr std::uint64_t kAdminTag = std::uint64_t{1} << 32;
constexpr std::uint32_t kSessionKind = 2;
constexpr std::uint32_t kSlotKind = 3;

std::uint32_t kind_of(std::uint64_t tag) {
  return static_cast<std::uint32_t>(tag >> 32);
}
std::uint32_t index_of(std::uint64_t tag) {
  return static_cast<std::uint32_t>(tag);
}

}  // namespace

/// The number of the link to `peer`: the one it had in an earlier life, since rows in admin memory name it, or a free
/// one.
std::uint16_t Engine::link_index(const std::string& peer) {
  AdminHeader& header = admin_->header();
  const std::size_t links = std::min<std::size_t>(config_.limits.links, kMaxAdminLinks);
  std::size_t free = links;
  for (std::size_t i = 0; i < links; ++i) {
    const std::string_view name = get_name(header.links[i]);
    if (name == peer) return static_cast<std::uint16_t>(i);
    if (name.empty() && free == links) free = i;
  }
  if (free == links)
    throw std::runtime_error("more [[link]] tables than limits.links allows (" + std::to_string(links) + ")");
  set_name(header.links[free], peer);
  return static_cast<std::uint16_t>(free);
}

void Engine::recover() {
  // One at a time: all of them may be more than this process may open.
  std::vector<std::uint64_t> kept = keeper_->kept();
  const auto fetch = [this](std::uint64_t tag) {
    auto fds = keeper_->fetch(tag);
    if (!fds) tell(fds.error());
    return fds ? std::move(fds).value() : std::vector<slot::Fd>();
  };
  if (std::binary_search(kept.begin(), kept.end(), kAdminTag) && config_.node.recover) {
    try {
      admin_ = std::make_unique<Admin>(std::move(fetch(kAdminTag).at(0)), config_.node.name, config_.limits.slots,
                                       config_.limits.sessions, config_.memory.slot_memory);
      recovered_ = true;
    } catch (const std::exception& error) {
      log().warn("what an earlier slotwired left cannot be taken over: {}; its connections are lost", error.what());
    }
  }
  if (!recovered_) {
    for (const std::uint64_t tag : kept) tell(keeper_->remove(tag));
    kept.clear();
    admin_ = std::make_unique<Admin>(config_.node.name, config_.limits.slots, config_.limits.sessions,
                                     config_.memory.slot_memory);
    if (const auto stored = keeper_->store(kAdminTag, std::vector<int>{admin_->file().get()}); !stored.ok()) {
      throw std::runtime_error(stored.error().text);
    }
  }
  driver::SoftMoverOptions options;
  options.links = std::size_t{config_.limits.links} + 1;
  options.sweep_us = static_cast<std::uint32_t>(config_.protocol.sweep.count());
  open_card(options);
  pipeline::LinkConfig figures;
  card_->set_route(loop_link_, driver::OverCarrier{*loopback_}, figures);
  loopback_->add_link(loop_link_);

  links_.resize(config_.limits.links);
  std::random_device random;
  for (const LinkConfig& config : config_.links) {
    auto link = std::make_unique<Link>();
    link->index = link_index(config.peer);
    link->config = config;
    for (std::byte& b : link->token) b = static_cast<std::byte>(random());
    if (config.carrier == LinkCarrier::dpdk) card_->spread(link->index);
    links_[link->index] = std::move(link);
  }
  if (!recovered_) return;

  std::size_t sessions = 0;
  std::size_t slots = 0;
  for (const std::uint64_t tag : kept) {
    if (kind_of(tag) != kSessionKind) continue;
    const std::uint32_t index = index_of(tag);
    std::vector<slot::Fd> fds = fetch(tag);
    if (index < sessions_.size() && admin_->sessions()[index].used == 1 && fds.size() == 3) {
      try {
        recover_session(index, fds);
        ++sessions;
        continue;
      } catch (const std::exception& error) {
        log().warn("session {}: not taken over: {}", admin_->sessions()[index].id, error.what());
        sessions_[index].reset();
      }
    }
    tell(keeper_->remove(tag));
  }
  for (std::uint32_t i = 0; i < sessions_.size(); ++i) {
    if (!sessions_[i]) admin_->sessions()[i] = {};
  }
  for (const std::uint64_t tag : kept) {
    if (kind_of(tag) != kSlotKind) continue;
    std::vector<slot::Fd> fds = fetch(tag);
    if (index_of(tag) < admin_->slots().size() && recover_slot(static_cast<std::uint16_t>(index_of(tag)), fds)) {
      ++slots;
    } else {
      tell(keeper_->remove(tag));
    }
  }
  // Descriptors without memory are remains of a slot that was just being opened or freed.
  for (std::size_t i = 0; i < admin_->slots().size(); ++i) {
    SlotDescriptor& d = admin_->slots()[i];
    if (d.pairing == Pairing::none || card_->files(static_cast<std::uint16_t>(i)).wake) continue;
    d = {};
    card_->unbind(static_cast<std::uint16_t>(i));
  }
  // Slots whose owner did not survive are closed like those of any process that died.
  for (std::size_t i = 0; i < admin_->slots().size(); ++i) {
    const auto slot = static_cast<std::uint16_t>(i);
    SlotDescriptor& d = admin_->slots()[slot];
    if (d.pairing == Pairing::none) continue;
    if (d.phase == Phase::draining) {
      card_->look(slot);
      draining_.push_back({slot, monotonic_us() + static_cast<std::uint64_t>(config_.limits.linger.count())});
    } else if (d.session == kNoSession) {
      begin_close(slot, End::died);
    }
  }
  log().info("taken over from an earlier slotwired: {} sessions, {} slots; lines go on where they stopped", sessions,
             slots);
}

void Engine::recover_session(std::uint32_t index, std::vector<slot::Fd>& fds) {
  const SessionRecord& record = admin_->sessions()[index];
  PeerCredentials who;
  who.pid = record.pid;
  who.uid = record.uid;
  who.start_time = record.start_time;
  Result<PidFd> process = PidFd::open(who);
  if (!process.ok()) throw std::runtime_error(process.error().text);
  auto session = std::make_unique<Session>();
  session->index = index;
  session->process = std::move(process).value();
  session->bell_file = std::move(fds[0]);
  session->polled_file = std::move(fds[1]);
  session->kick = std::move(fds[2]);
  for (const slot::Fd* file : {&session->bell_file, &session->polled_file}) {
    if (const std::string wrong = slot::check_sealed_file(file->get(), regs::kPageBytes); !wrong.empty()) {
      throw std::runtime_error("a session page cannot be used: " + wrong);
    }
  }
  session->bells = slot::map_file(session->bell_file.get(), regs::kPageBytes, slot::Access::read_write);
  session->polled = slot::map_file(session->polled_file.get(), regs::kPageBytes, slot::Access::read_write);
  Session& s = *session;
  sessions_[index] = std::move(session);
  card_->add_session(index, *reinterpret_cast<slot::BellPage*>(s.bells.data()),
                     *reinterpret_cast<slot::PolledPage*>(s.polled.data()), s.kick.get());
  reactor_.add(s.kick.get(), EPOLLIN, [this, index](std::uint32_t) { card_->on_kick(index); });
  // Until it comes back, its end is all that is heard of it.
  reactor_.add(s.process->fd(), EPOLLIN,
               [this, index](std::uint32_t) { end_session(index, "it ended while the engine was away"); });
}

bool Engine::recover_slot(std::uint16_t slot, std::vector<slot::Fd>& fds) {
  SlotDescriptor& d = admin_->slots()[slot];
  const bool with_output = d.pairing == Pairing::remote || d.pairing == Pairing::strict;
  if ((!with_output && d.pairing != Pairing::direct) || fds.size() != (with_output ? 3U : 2U) ||
      d.in_order > regs::kMaxRingOrder || d.out_order > regs::kMaxRingOrder) {
    return false;
  }
  const auto order = [](unsigned ring) { return *BuddyAllocator::order_for(std::uint64_t{regs::kLineBytes} << ring); };
  if (memory_->claim(d.in_offset, order(d.in_order)) != BuddyError::none) return false;
  if (with_output && memory_->claim(d.out_offset, order(d.out_order)) != BuddyError::none) {
    release_memory(d.in_offset);
    return false;
  }
  try {
    driver::SlotFiles files;
    files.own = std::move(fds[0]);
    files.wake = std::move(fds[1]);
    if (with_output) files.other = std::move(fds[2]);
    if (d.pairing == Pairing::remote) card_->prepare_slot(slot, admin_->rows()[slot].link);
    card_->adopt_slot(slot, d.in_order, d.out_order, std::move(files));
    static_cast<void>(card_->take_space_files(slot));  // the keeper has them when the process asks
  } catch (const std::exception& error) {
    log().warn("slot {}: not taken over: {}", slot, error.what());
    release_memory(d.in_offset);
    release_memory(d.out_offset);
    return false;
  }
  ++used_slots_;
  if (d.session != kNoSession && d.session < sessions_.size() && sessions_[d.session] &&
      d.local < slot::kMaxSessionSlots) {
    Session& session = session_at(d.session);
    if (d.local >= session.slots.size()) session.slots.resize(d.local + 1, kNoSlotIndex);
    session.slots[d.local] = slot;
    ++session.slot_count;
    session.memory += (std::uint64_t{regs::kLineBytes} << d.in_order) +
                      (with_output ? std::uint64_t{regs::kLineBytes} << d.out_order : 0);
    card_->set_bell(session.index, d.local, slot);
  } else {
    d.session = kNoSession;
  }
  const regs::SlotRow& row = card_->row(slot);
  if (with_output && static_cast<regs::SlotState>(row.state) == regs::SlotState::bound) {
    const bool has_link = row.link == loop_link_ || (row.link < links_.size() && links_[row.link]);
    if (!has_link) {
      log().warn("slot {}: its link is no longer in the configuration; the connection is lost", slot);
      peer_ended(slot, End::lost, "the link is no longer configured");
      return true;
    }
    card_->recover(slot);
  }
  return true;
}

/// The card of this node: software, with threads of its own where slots over DPDK have them, and a real or simulated
/// card beside it where there is one.
void Engine::open_card(const driver::SoftMoverOptions& options) {
  const CardConfig& config = config_.card;
  driver::CardWish wish;
  wish.kind = config.kind();
  wish.xrt = config.xrt;
  wish.socket = config.socket;
  wish.vfio_user = config.vfio_user;
  wish.pci = config.pci;
  wish.sysfs_access = config.sysfs;
  wish.without_iommu = config.allow_no_iommu;
  driver::CardParts parts;
  parts.rows = admin_->rows();
  parts.soft = options;
  parts.sessions = config_.limits.sessions;
  parts.wait = {config_.wait.spin, config_.wait.yield};
  parts.clock = monotonic_us;
  parts.workers = worker_places();
  try {
    driver::ChosenCard chosen = driver::choose_card(wish);
    card_chosen_ = {std::string(driver::card_kind_name(chosen.kind)), chosen.name, chosen.why};
    log().info("card: {} ({})", chosen.name, chosen.why);
    if (chosen.bus) {
      driver::HardwareParts& hardware = parts.hardware.emplace();
      hardware.bus = std::move(chosen.bus);
      hardware.neighbours = std::make_unique<driver::CardNeighbours>(address_of(*config.address), options.links);
      hardware.incarnation = admin_->header().incarnation;
      hardware.give_up_us = static_cast<std::uint64_t>(config.give_up.count());
      hardware.frame_lines = (config_.listen.mtu - 50) / regs::kLineBytes;
    } else if (config.address) {
      card_udp_ = open_udp(address_of(*config.address));  // links of the card are the same on the wire
    }
    card_ = driver::make_card(std::move(parts), static_cast<driver::CardListener&>(*this));
  } catch (const std::exception& error) {
    throw std::runtime_error(std::string("the card (card.kind = \"" + std::string(driver::card_kind_name(wish.kind)) +
                                         "\") cannot be used: ") +
                             error.what());
  }
  // They only wake the loop: poll() looks.
  for (const int fd : card_->descriptors()) reactor_.add(fd, EPOLLIN, [](std::uint32_t) {});
  if (const driver::CardInfo* const info = card_->info()) {
    log().info("card has {} slots, {} links, {} KiB of slot memory, {} lines a frame", info->slots, info->links,
               std::size_t{info->memory_lines} * regs::kLineBytes >> 10,
               std::min<std::size_t>(info->max_frame_lines, (config_.listen.mtu - 50) / regs::kLineBytes));
    log().info("card: {}", card_->capabilities().direct_map ? "it serves the slots of processes itself"
                                                            : "slotwired relays between it and the processes");
  }
  if (card_->workers() != 0) {
    log().info("slots of links over DPDK are divided among {} threads of their own", card_->workers());
  }
}

/// A thread for each pair of queues of the port, where slots over DPDK have threads of their own.
std::vector<driver::WorkerPlace> Engine::worker_places() {
  std::vector<driver::WorkerPlace> places;
  if (config_.dpdk.lcores.empty()) return places;
  for (std::size_t queue = 0; queue < dpdk_->queues(); ++queue) {
    carriers::DpdkCarrier* const dpdk = dpdk_.get();
    places.push_back({&dpdk->queue(queue), [dpdk, queue] { dpdk->enter(queue); },
                      "CPU " + std::to_string(config_.dpdk.lcores[queue])});
  }
  return places;
}

}  // namespace slotwire::engine
