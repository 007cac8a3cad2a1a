// What goes wrong in a run: networks, links, proxies that die, connections that are closed and opened again.
#include <algorithm>
#include <utility>

#include "sim/world.hpp"

namespace slotwire::sim {

void World::chaos() {
  const std::uint16_t node = any_node();
  const auto peer = static_cast<std::uint16_t>(
      (node + random_.between(1, static_cast<std::uint32_t>(nodes_.size()) - 1)) % nodes_.size());
  // A connection that is being bound anew goes on before anything else, most of the time.
  if (random_.chance(600)) {
    for (Pairing& pairing : pairings_) {
      if (go_on_rebinding(pairing)) return;
    }
  }
  switch (random_.below(13)) {
    case 0:
    case 1:
    case 2:
      bend_channel();
      return;
    case 3:
      network_->channel(node, peer).cut = random_.chance(300);
      note(network_->channel(node, peer).cut ? What::cut : What::heal, node, peer);
      return;
    case 4:
      toggle_link(node, peer);
      return;
    case 5:
      nodes_[node].forced_block[peer] = random_.chance(300);
      note(What::block, node, peer, nodes_[node].forced_block[peer] ? 1 : 0);
      return;
    case 6:
    case 7:
      restart(node);
      return;
    case 8:
      takeover(node);
      return;
    case 9:
      stray_frame(node, peer);
      return;
    case 10: {
      Pairing& pairing = pairings_[random_.below(static_cast<std::uint32_t>(pairings_.size()))];
      if (!pairing.hostile() || !random_.chance(200)) return;
      const End& end = pairing.ends[random_.below(2)];
      note(What::fault, end.pairing, end.side);
      nodes_[end.node].pipe->fault(end.slot, regs::Fault::admin);
      return;
    }
    default: {
      Pairing& pairing = pairings_[random_.below(static_cast<std::uint32_t>(pairings_.size()))];
      if (pairing.ends[0].bound && pairing.ends[1].bound) begin_rebind(pairing);
      return;
    }
  }
}

void World::bend_channel() {
  const std::uint16_t from = any_node();
  const auto to = static_cast<std::uint16_t>(
      (from + random_.between(1, static_cast<std::uint32_t>(nodes_.size()) - 1)) % nodes_.size());
  Channel& c = network_->channel(from, to);
  const auto some = [&](unsigned most) { return random_.chance(500) ? 0 : random_.below(most); };
  c.loss = some(random_.chance(100) ? 900 : 100);
  c.duplicate = some(100);
  c.reorder = some(300);
  c.corrupt = some(100);
  c.delay_us = random_.chance(800) ? random_.below(100) : random_.below(20'000);
  c.jitter_us = random_.chance(800) ? random_.below(300) : random_.below(100'000);
  c.us_per_kib = random_.chance(700) ? 0 : random_.below(200);
  c.capacity = random_.chance(700) ? 256 : random_.between(1, 8);
  note(What::channel, from, to);
}

/// A frame that is whole and right in itself, and no frame of the connection: another slot, another link or another
/// epoch.
void World::stray_frame(std::uint16_t from, std::uint16_t to) {
  const Pairing& pairing = pairings_[random_.below(static_cast<std::uint32_t>(pairings_.size()))];
  const End& end = pairing.ends[random_.below(2)];
  const End& other = pairing.ends[1 - end.side];
  const regs::SlotRow& r = row(end);
  pipeline::Header header{.type = static_cast<regs::FrameType>(random_.below(5)),
                          .dst_slot = end.slot,
                          .src_slot = other.slot,
                          .epoch = r.epoch,
                          .seq = r.out_tail,
                          .ack = r.in_head,
                          .credit = 100};
  switch (random_.below(4)) {
    case 0:
      header.dst_slot = static_cast<std::uint16_t>(random_.bits32());
      header.epoch = static_cast<std::uint16_t>(header.epoch + 30'000);
      break;
    case 1:
      header.src_slot = static_cast<std::uint16_t>(header.src_slot + 1);
      to = end.node;
      break;
    case 2:
      header.epoch = static_cast<std::uint16_t>(header.epoch + 30'000);
      to = end.node;
      break;
    default:
      if (from == other.node) header.src_slot = static_cast<std::uint16_t>(header.src_slot + 1);
      to = end.node;
      break;
  }
  if (from == to) return;
  Bytes frame(regs::kHeaderBytes + (header.type == regs::FrameType::data ? regs::kLineBytes : 0), std::byte{0x77});
  const pipeline::HeaderBytes bytes = std::span<std::byte>(frame).first<regs::kHeaderBytes>();
  pipeline::encode(header, bytes);
  header.crc = pipeline::frame_crc(bytes, std::span<const std::byte>(frame).subspan(regs::kHeaderBytes));
  pipeline::encode(header, bytes);
  into_network(from, to, std::move(frame));
  note(What::stray, from, to, header.dst_slot);
}

void World::toggle_link(std::uint16_t node, std::uint16_t peer) {
  Node& n = nodes_[node];
  if (n.up[peer]) {
    n.pipe->link_down(peer);
    network_->drop_in_flight(node, peer);
    network_->drop_in_flight(peer, node);
    ++result_.link_cuts;
  } else {
    n.pipe->link_up(peer, now());
    begin_control(node, peer);
  }
  n.up[peer] = !n.up[peer];
  n.blocked[peer] = false;
  note(n.up[peer] ? What::link_up : What::link_down, node, peer);
}

/// A new pipeline on the node's rows; its links are as they were.
void World::start_life(std::uint16_t node) {
  Node& n = nodes_[node];
  if (n.pipe) collect_counters(node);
  if (options_.between != nullptr) options_.between->begin_life(node, nodes_.size());
  n.pipe = std::make_unique<pipeline::Pipeline>(n.rows, nodes_.size());
  for (std::uint16_t link = 0; link < node_count(); ++link) n.pipe->set_link(link, n.config[link]);
  n.blocked.assign(nodes_.size(), false);
  for (std::uint16_t link = 0; link < node_count(); ++link) {
    if (link == node || !n.up[link]) continue;
    n.pipe->link_up(link, now());
    begin_control(node, link);
  }
}

/// The proxy dies and comes back on the rows of its predecessor, of which nothing but the marks and the pairing can be
/// used.
void World::restart(std::uint16_t node) {
  Node& n = nodes_[node];
  ++result_.restarts;
  note(What::restart, node);
  for (Pairing& pairing : pairings_) {
    for (End& end : pairing.ends) {
      if (end.node != node || !end.bound) continue;
      regs::SlotRow& r = n.rows[end.slot];
      if (is_bound(end)) tamper_->restart(r);
      r.flags = static_cast<std::uint8_t>(random_.bits32());
      r.backoff = static_cast<std::uint8_t>(random_.bits32());
      for (std::uint32_t* field :
           {&r.sent, &r.limit, &r.told_ack, &r.told_limit, &r.tx_deadline, &r.ack_deadline, &r.high}) {
        *field = random_.bits32();
      }
      // It died while it wrote lines: what is not counted by a mark may hold anything.
      const std::uint32_t free = end.out.lines() - std::min(end.out.lines(), r.out_tail - r.out_head);
      for (std::uint32_t i = 0; i < free && random_.chance(800); ++i) {
        std::memset(end.out.view().at(r.out_tail + i), 0xa5, regs::kLineBytes);
      }
    }
  }
  start_life(node);
  for (Pairing& pairing : pairings_) {
    for (End& end : pairing.ends) {
      if (end.node != node || !end.bound) continue;
      n.pipe->recover(end.slot, {end.in.view(), end.out.view()}, end.in_tail, end.out_head, now());
    }
  }
}

/// Another proxy takes over that never saw the rows: it is told the pairing and the four marks.
void World::takeover(std::uint16_t node) {
  Node& n = nodes_[node];
  ++result_.takeovers;
  note(What::takeover, node);
  const std::vector<regs::SlotRow> old = n.rows;
  std::fill(n.rows.begin(), n.rows.end(), regs::SlotRow{});
  start_life(node);
  for (Pairing& pairing : pairings_) {
    for (End& end : pairing.ends) {
      if (end.node != node || !end.bound) continue;
      regs::SlotRow r = old[end.slot];
      if (r.state != static_cast<std::uint8_t>(regs::SlotState::bound)) {
        end.bound = false;  // nobody takes a stopped slot over; it will be bound anew
        continue;
      }
      tamper_->restart(r);
      // The process's marks as they stand in its page, unless they cannot be.
      const bool honest = end.in_tail - r.in_head <= end.in.lines() && r.out_tail - end.out_head <= end.out.lines();
      n.pipe->bind(
          end.slot,
          {.link = r.link,
           .peer_slot = r.peer_slot,
           .epoch = r.epoch,
           .in_order = r.in_order,
           .out_order = r.out_order,
           .credit = 0,
           .marks = {honest ? end.in_tail : r.in_tail, r.in_head, r.out_tail, honest ? end.out_head : r.out_head}},
          {end.in.view(), end.out.view()}, now());
    }
  }
}

// --- closing a connection and opening it again on the same slots ---

void World::begin_rebind(Pairing& pairing) {
  ++pairing.generation;
  // Epochs of a pairing do not come back within a run; the engine draws them at random.
  if (!tamper_->reuses_epochs()) pairing.epoch = static_cast<std::uint16_t>(pairing.epoch + random_.between(1, 50));
  for (unsigned side = 0; side < 2; ++side) {
    // Near where the old pairing stood, so that its stale frames would fit; or near the wrap; or at 0.
    const Position old = row(pairing.ends[1 - side]).out_tail;
    const std::uint32_t choice = random_.below(3);
    pairing.start[side] = choice == 0 ? 0 : choice == 1 ? old - random_.below(8) : 0U - random_.below(200);
  }
  ++result_.rebinds;
}

bool World::go_on_rebinding(Pairing& pairing) {
  const unsigned first = random_.below(2);
  for (const unsigned side : {first, 1 - first}) {
    End& end = pairing.ends[side];
    if (end.bound && end.generation == pairing.generation) continue;
    if (end.bound) {
      unbind(end);
    } else {
      // What was taken over stopped is bound anew with its peer.
      if (end.generation == pairing.generation) begin_rebind(pairing);
      bind(end);
    }
    return true;
  }
  return false;
}

void World::unbind(End& end) {
  note(What::unbind, end.pairing, end.side);
  nodes_[end.node].pipe->unbind(end.slot);
  end.bound = false;
}

void World::bind(End& end) {
  const Pairing& pairing = pairings_[end.pairing];
  const End& other = pairing.ends[1 - end.side];
  note(What::bind, end.pairing, end.side, pairing.generation);
  nodes_[end.node].pipe->unbind(end.slot);
  const Position mine = pairing.start[end.side], theirs = pairing.start[1 - end.side];
  end.generation = pairing.generation;
  end.bound = true;
  end.in_tail = end.pub_in_head = end.seen_in_head = mine;
  end.out_head = end.pub_out_tail = end.seen_out_tail = theirs;
  nodes_[end.node].pipe->bind(end.slot,
                              {.link = other.node,
                               .peer_slot = other.slot,
                               .epoch = pairing.epoch,
                               .in_order = end.in.view().order,
                               .out_order = end.out.view().order,
                               .credit = random_.chance(800) ? other.out.lines() : 0,
                               .marks = {mine, mine, theirs, theirs}},
                              {end.in.view(), end.out.view()}, now());
}

/// Everything is well again: the network, the links, half-open connections.
void World::heal() {
  note(What::heal, 0xffff, 0xffff);
  for (Pairing& pairing : pairings_) {
    while (go_on_rebinding(pairing)) {
    }
  }
  for (std::uint16_t node = 0; node < node_count(); ++node) {
    for (std::uint16_t peer = 0; peer < node_count(); ++peer) {
      if (peer == node) continue;
      network_->channel(node, peer) = Channel{};
      nodes_[node].forced_block[peer] = false;
      if (!nodes_[node].up[peer]) toggle_link(node, peer);
    }
  }
}

void World::collect_counters(std::uint16_t node) {
  for (std::size_t i = 0; i < regs::kCounterCount; ++i) {
    result_.counters[i] += nodes_[node].pipe->counter(static_cast<regs::Counter>(i));
  }
}

}  // namespace slotwire::sim
