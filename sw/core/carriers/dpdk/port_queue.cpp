#include "core/carriers/dpdk/port_queue.hpp"

#include <rte_ether.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>

namespace slotwire::carriers {
namespace {

/// How long a port that takes nothing (its link is down) is left alone.
constexpr std::uint64_t kRetryUs = 500;
/// So long after the last frame the bell is mute and fd() readable: the next frame of an exchange costs no interrupt.
constexpr std::uint64_t kQuietUs = 50;
/// A bell may ring for a frame that was taken already, a moment later: it is answered every so many empty polls.
constexpr unsigned kEmptyPolls = 16;
constexpr std::uint64_t kBellTag = 0, kWakerTag = 1;
static_assert(kMaxDpdkQueues <= 32, "a bit each");

std::span<const std::byte> bytes_of(const rte_mbuf& buffer) {
  return {rte_pktmbuf_mtod(&buffer, const std::byte*), buffer.data_len};
}

bool is_arp(std::span<const std::byte> frame) {
  return frame.size() >= pipeline::kEthernetBytes && frame[pipeline::kEthernetBytes - 2] == std::byte{0x08} &&
         frame[pipeline::kEthernetBytes - 1] == std::byte{0x06};
}

}  // namespace

SharedPort::SharedPort(const DpdkOptions& options, std::size_t count)
    : queues(count),
      max_links(options.max_links),
      output_frames(options.output_frames),
      has_kernel(!options.kernel_interface.empty()),
      vlan(static_cast<std::uint16_t>(options.vlan)),
      gate(count),
      board(count, count > 1 ? options.max_links : 0),
      wakers(count),
      stats(count) {
  for (std::size_t i = 0; i < queues * queues; ++i)
    rings.push_back(std::make_unique<SpscRing<rte_mbuf*>>(queues > 1 ? kHandOverFrames : 1));
}

PortQueue::PortQueue(SharedPort& shared, std::size_t index, OtherFrames* others)
    : shared_(shared), index_(index), others_(others), links_(shared.max_links) {
  unsent_.reserve(shared.output_frames);
  if (shared.queues > 1 && !poller_.add(shared.wakers[index].fd(), EPOLLIN, kWakerTag))
    throw_errno("dpdk: watching what wakes a queue");
  poller_.wake();
}

PortQueue::~PortQueue() {
  detach();
}

void PortQueue::attach() noexcept {
  port_ = shared_.port;
  bell_ = shared_.bells[index_].get();
  if (bell_ != nullptr && !poller_.add(bell_->fd(), EPOLLIN, kBellTag)) bell_ = nullptr;
  awake_ = true;
  empty_polls_ = 0;
  if (bell_ != nullptr) bell_->mute();
  looks_ = bell_ != nullptr && port_->may_stay_silent();
  poller_.wake();
}

void PortQueue::detach() noexcept {
  for (; next_ < count_; ++next_) ::rte_pktmbuf_free(received_[next_]);
  next_ = count_ = 0;
  for (rte_mbuf* const buffer : unsent_) ::rte_pktmbuf_free(buffer);
  unsent_.clear();
  retry_us_.reset();
  if (bell_ != nullptr) poller_.remove(bell_->fd());
  bell_ = nullptr;
  port_ = nullptr;
  awake_ = looks_ = false;
}

void PortQueue::set_link(std::uint16_t link, const pipeline::Endpoint& peer, const LinkPorts& ports) {
  links_[link] = {false, peer, ports};
  by_peer_[key_of(peer)] = link;
}

void PortQueue::erase_link(std::uint16_t link) noexcept {
  // Another link may have its address by now.
  if (const auto found = by_peer_.find(key_of(links_[link].peer)); found != by_peer_.end() && found->second == link)
    by_peer_.erase(found);
  links_[link] = {};
}

std::size_t PortQueue::room(std::uint16_t link) const noexcept {
  if (port_ == nullptr || link >= links_.size() || !links_[link].up) return 0;
  return shared_.output_frames - std::min(unsent_.size(), shared_.output_frames);
}

bool PortQueue::sendable(const pipeline::TxFrame& frame) const noexcept {
  return frame.link < links_.size() && links_[frame.link].up &&
         sizeof frame.header + frame.payload.size() <= shared_.frame_bytes;
}

/// Whether the lines of the frame are better not copied.
bool PortQueue::in_place(const pipeline::TxFrame& frame) const noexcept {
  return frame.payload.size() >= port_->in_place().from_bytes;
}

/// `lines`: what is to point at the payload; none: it is copied.
void PortQueue::fill(rte_mbuf& buffer, rte_mbuf* lines, const pipeline::TxFrame& frame) noexcept {
  const Link& link = links_[frame.link];
  pipeline::Endpoint to = link.peer;
  to.port = link.ports.of_slot(pipeline::destination_slot(frame.header));
  const std::size_t link_bytes = sizeof frame.header + frame.payload.size();
  const std::size_t bytes =
      pipeline::kCarrierBytes + sizeof frame.header + (lines == nullptr ? frame.payload.size() : 0);
  static_assert(pipeline::kCarrierBytes + sizeof frame.header >= pipeline::kMinEthernetBytes);  // no padding
  const std::span<std::byte> out(rte_pktmbuf_mtod(&buffer, std::byte*), bytes);
  pipeline::write_headers(shared_.own, to, link_bytes, out);
  std::memcpy(out.data() + pipeline::kCarrierBytes, frame.header, sizeof frame.header);
  buffer.data_len = static_cast<std::uint16_t>(bytes);
  buffer.pkt_len = static_cast<std::uint32_t>(bytes);
  if (lines != nullptr) {
    attach_lines(buffer, *lines, frame.payload);
  } else if (!frame.payload.empty()) {
    std::memcpy(out.data() + pipeline::kCarrierBytes + sizeof frame.header, frame.payload.data(), frame.payload.size());
  }
  if (port_->makes_checksums()) {
    buffer.ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
    buffer.l2_len = pipeline::kEthernetBytes;
    buffer.l3_len = pipeline::kIpv4Bytes;
    std::fill_n(out.begin() + pipeline::kIpv4ChecksumAt, 2, std::byte{0});
  }
  put_tag(buffer);
  counters_.tx_bytes += link_bytes;
}

/// The tag goes where the headers are being written anyway: the port could not do it for less.
void PortQueue::put_tag(rte_mbuf& buffer) const noexcept {
  if (shared_.vlan == 0) return;
  static_assert(RTE_PKTMBUF_HEADROOM >= RTE_VLAN_HLEN, "room before every frame");
  rte_mbuf* frame = &buffer;
  buffer.vlan_tci = shared_.vlan;
  ::rte_vlan_insert(&frame);
}

/// Takes the tag off, as some ports have done before. False when it is that of another VLAN. A tag of VLAN 0 has a
/// priority and nothing else.
bool PortQueue::take_tag(rte_mbuf& buffer) const noexcept {
  if ((buffer.ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) == 0) {
    constexpr std::size_t kTagged = pipeline::kEthernetBytes + RTE_VLAN_HLEN;
    if (buffer.data_len < kTagged || ::rte_vlan_strip(&buffer) != 0) return shared_.vlan == 0;
  }
  return RTE_VLAN_TCI_ID(buffer.vlan_tci) == shared_.vlan;
}

void PortQueue::send(std::span<const pipeline::TxFrame> frames) {
  std::array<rte_mbuf*, kDpdkBurst> buffers{}, lines{};
  flush();
  for (std::size_t next = 0; next < frames.size();) {
    std::size_t wanted = 0, behind = 0, end = next;
    const std::size_t most = port_ == nullptr ? 0 : std::min(kDpdkBurst, shared_.output_frames - unsent_.size());
    for (; end < frames.size() && wanted < most; ++end) {
      if (!sendable(frames[end])) continue;
      ++wanted;
      if (in_place(frames[end])) ++behind;
    }
    if (wanted == 0 || !port_->allocate(index_, std::span(buffers).first(wanted))) {
      counters_.tx_dropped += frames.size() - next;
      return;
    }
    if (behind != 0 && !port_->allocate_lines(index_, std::span(lines).first(behind))) behind = 0;
    std::size_t filled = 0;
    for (; next < end; ++next) {
      const pipeline::TxFrame& frame = frames[next];
      if (sendable(frame)) {
        fill(*buffers[filled++], behind != 0 && in_place(frame) ? lines[--behind] : nullptr, frame);
      } else {
        ++counters_.tx_dropped;
      }
    }
    unsent_.insert(unsent_.end(), buffers.begin(), buffers.begin() + static_cast<std::ptrdiff_t>(filled));
    counters_.tx_frames += filled;
    flush();
    copy_waiting(filled);
  }
}

/// What the port did not take of the newest frames: their lines are the caller's again from here on.
void PortQueue::copy_waiting(std::size_t newest) noexcept {
  for (std::size_t i = unsent_.size() - std::min(newest, unsent_.size()); i < unsent_.size(); ++i)
    copy_lines(*unsent_[i]);
}

void PortQueue::flush() noexcept {
  transmit();
  if (!unsent_.empty()) poller_.wake();  // the next poll() decides when to go on
}

void PortQueue::transmit() noexcept {
  if (unsent_.empty()) return;
  std::size_t refused = 0;
  ++counters_.tx_calls;
  const std::size_t taken = port_->transmit(index_, unsent_, refused);
  counters_.tx_dropped += refused;
  unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<std::ptrdiff_t>(taken));
}

void PortQueue::stay_awake(std::uint64_t now_us) noexcept {
  seen_us_ = now_us;
  if (awake_ || port_ == nullptr) return;
  awake_ = true;
  empty_polls_ = 0;
  if (bell_ != nullptr) bell_->mute();
  poller_.wake();
}

bool PortQueue::send_bytes(std::span<const std::byte> frame) noexcept {
  std::array<rte_mbuf*, 1> buffer{};
  if (!port_->allocate(index_, buffer)) return false;
  std::memcpy(rte_pktmbuf_mtod(buffer[0], std::byte*), frame.data(), frame.size());
  buffer[0]->data_len = static_cast<std::uint16_t>(frame.size());
  buffer[0]->pkt_len = static_cast<std::uint32_t>(frame.size());
  put_tag(*buffer[0]);
  std::size_t refused = 0;
  if (port_->transmit(index_, buffer, refused) == 1) return refused == 0;
  ::rte_pktmbuf_free(buffer[0]);
  return false;
}

void PortQueue::begin() noexcept {
  if (asleep_) shared_.wakers[index_].get_up();
  asleep_ = false;
}

std::size_t PortQueue::work(std::uint64_t now_us, std::size_t max_frames, FrameSink& sink) {
  if (!retry_us_ || now_us >= *retry_us_) {
    retry_us_.reset();
    const std::size_t before = unsent_.size();
    transmit();
    if (!unsent_.empty() && unsent_.size() == before) retry_us_ = now_us + kRetryUs;
  }
  std::size_t delivered = 0, budget = max_frames;
  const auto from_others = [&] {
    while (budget != 0) {
      rte_mbuf* const buffer = next_handed();
      if (buffer == nullptr) return;
      if (take(buffer, true, now_us, sink)) ++delivered;
      --budget;
    }
  };
  handed_first_ = !handed_first_ && shared_.queues > 1;
  if (handed_first_) from_others();
  bool answered = false;
  while (budget != 0 && (next_ < count_ || fetch(now_us, answered))) {
    if (take(received_[next_++], false, now_us, sink)) ++delivered;
    --budget;
  }
  if (!handed_first_ && shared_.queues > 1) from_others();
  ring();
  return delivered;
}

/// Fetches the next frames. `answered`: the bell was, in this poll(). False when there are none.
bool PortQueue::fetch(std::uint64_t now_us, bool& answered) noexcept {
  while (true) {
    next_ = 0;
    count_ = port_->receive(index_, received_);
    ++counters_.rx_calls;
    if (count_ != 0) return true;
    if (bell_ == nullptr || answered) return false;
    if (awake_ ? now_us - seen_us_ < kQuietUs : ++empty_polls_ < kEmptyPolls) return false;
    // Answered while the port is empty; a frame that came in between has to be seen now, it does not ring again.
    bell_->answer();
    answered = true;
    awake_ = false;
    empty_polls_ = 0;
  }
}

/// The next frame that another queue has for this one; each in turn.
rte_mbuf* PortQueue::next_handed() noexcept {
  rte_mbuf* buffer = nullptr;
  for (std::size_t i = 0; i < shared_.queues; ++i) {
    const std::size_t from = next_ring_;
    next_ring_ = next_ring_ + 1 < shared_.queues ? next_ring_ + 1 : 0;
    if (from == index_ || !shared_.handed(from, index_).pop(buffer)) continue;
    count_one(shared_.stats[index_].handed_in);
    return buffer;
  }
  return nullptr;
}

bool PortQueue::has_handed() const noexcept {
  for (std::size_t from = 0; from < shared_.queues; ++from) {
    if (from != index_ && !shared_.handed(from, index_).empty()) return true;
  }
  return false;
}

/// Lost when the other queue does not keep up, as any frame may be.
void PortQueue::hand_over(rte_mbuf* buffer, std::size_t to) noexcept {
  if (!shared_.handed(index_, to).push(buffer)) {
    ::rte_pktmbuf_free(buffer);
    count_one(shared_.stats[index_].hand_over_dropped);
  } else {
    count_one(shared_.stats[index_].handed_out);
  }
  rung_ |= std::uint32_t{1} << to;
}

/// Wakes those to whom something was handed.
void PortQueue::ring() noexcept {
  for (std::size_t to = 0; rung_ != 0; ++to, rung_ >>= 1) {
    if ((rung_ & 1U) != 0) shared_.wakers[to].ring();
  }
}

/// Takes a frame in. Whether it went to the sink.
bool PortQueue::take(rte_mbuf* buffer, bool handed, std::uint64_t now_us, FrameSink& sink) {
  struct Free {
    void operator()(rte_mbuf* one) const noexcept { ::rte_pktmbuf_free(one); }
  };
  std::unique_ptr<rte_mbuf, Free> owned(buffer);
  if (buffer->nb_segs != 1) {  // larger than any frame of ours
    ++counters_.rx_malformed;
    return false;
  }
  if (!take_tag(*buffer)) {
    // A kernel behind a port without a VLAN has VLANs of its own: it gets the tag back.
    rte_mbuf* whole = buffer;
    if (!shared_.has_kernel || shared_.vlan != 0 || ::rte_vlan_insert(&whole) != 0) {
      count_one(shared_.stats[index_].rx_other);
      return false;
    }
  }
  const auto frame = bytes_of(*buffer);
  const std::optional<pipeline::Datagram> datagram = pipeline::unwrap(shared_.own, frame, shared_.accepted_ports);
  if (!datagram) {
    if (others_ == nullptr && (shared_.has_kernel || is_arp(frame))) {
      hand_over(owned.release(), 0);
    } else if (others_ == nullptr || !others_->on_other(frame, now_us, sink)) {
      count_one(shared_.stats[index_].rx_other);
    }
    return false;
  }
  stay_awake(now_us);
  const auto checked = buffer->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
  const auto header = frame.subspan(pipeline::kEthernetBytes, pipeline::kIpv4Bytes);
  const bool intact = checked == RTE_MBUF_F_RX_IP_CKSUM_GOOD ||
                      (checked != RTE_MBUF_F_RX_IP_CKSUM_BAD && pipeline::ipv4_checksum(header) == 0);
  if (!intact || datagram->link_frame.size() != datagram->length || datagram->length > shared_.frame_bytes) {
    ++counters_.rx_malformed;
    return false;
  }
  if (shared_.queues > 1 && !handed && datagram->length >= regs::kHeaderBytes) {
    const std::size_t owner =
        pipeline::destination_slot(datagram->link_frame.first<regs::kHeaderBytes>()) % shared_.queues;
    if (owner != index_) {
      hand_over(owned.release(), owner);
      return false;
    }
  }
  const auto found = by_peer_.find(key_of(datagram->from));
  if (found == by_peer_.end()) {
    ++counters_.rx_unknown_peer;
    return false;
  }
  if (!links_[found->second].up) return false;
  ++counters_.rx_frames;
  counters_.rx_bytes += datagram->length;
  sink.on_frame(found->second, datagram->link_frame);
  return true;
}

/// Whether there is more to do at once: a full burst may have left more behind, and what was fetched rings no more.
bool PortQueue::busy() const noexcept {
  return (!unsent_.empty() && !retry_us_) || awake_ || next_ < count_ ||
         (port_ != nullptr && count_ == received_.size());
}

}  // namespace slotwire::carriers
