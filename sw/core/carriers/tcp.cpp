#include "core/carriers/tcp.hpp"

#include <openssl/crypto.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <utility>

namespace slotwire::carriers {
namespace {

constexpr std::size_t kEvents = 64;
/// Connections accepted in one poll(); more come with the next.
constexpr int kAcceptBatch = 16;
/// Reads of one link in one poll() at most, whatever comes out of them.
constexpr int kReadBatch = 64;

constexpr std::uint64_t kListenerTag = std::uint64_t{1} << 32;
constexpr std::uint64_t kPendingTag = std::uint64_t{2} << 32;
constexpr std::uint64_t kKindMask = ~std::uint64_t{0xFFFFFFFF};

bool same_token(const Token& a, const Token& b) noexcept {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

TcpCarrier::TcpCarrier(TcpOptions options)
    : options_(std::move(options)), frame_bytes_(regs::kHeaderBytes + options_.lines_per_frame * regs::kLineBytes) {
  if (!valid_node_name(options_.node)) {
    throw std::invalid_argument("tcp: node name '" + options_.node + "' must be 1 to 63 of a-z, 0-9 and -");
  }
  if (options_.lines_per_frame == 0 || options_.lines_per_frame > FrameReader::kMaxLines) {
    throw std::invalid_argument("tcp: lines_per_frame must be 1 to " + std::to_string(FrameReader::kMaxLines));
  }
  if (options_.output_limit < frame_bytes_ + FrameReader::kPrefixBytes) {
    throw std::invalid_argument("tcp: output_limit must hold one frame of " + std::to_string(frame_bytes_) + " bytes");
  }
  if (options_.max_links > 65535) throw std::invalid_argument("tcp: max_links must be 0 to 65535");
  if (options_.max_pending == 0) throw std::invalid_argument("tcp: max_pending must be at least 1");
  if (options_.backoff_min_us == 0 || options_.backoff_min_us > options_.backoff_max_us) {
    throw std::invalid_argument("tcp: backoff_min_us must be 1 to backoff_max_us");
  }
  links_.resize(options_.max_links);
  pending_.resize(options_.max_pending);
  if (options_.listen.valid()) {
    listener_.emplace(options_.listen);
    if (!poller_.add(listener_->fd(), EPOLLIN, kListenerTag)) throw_errno("watching the TCP listener");
  }
}

TcpStreamOptions TcpCarrier::stream_options(std::string peer) const {
  TcpStreamOptions result;
  result.output_limit = std::max(options_.output_limit, kPreambleMax);
  result.tls = options_.tls;
  result.peer_name = std::move(peer);
  result.peer_timeout_ms = options_.peer_timeout_ms;
  return result;
}

void TcpCarrier::add_link(const TcpLink& link) {
  const std::string who = "tcp: link " + std::to_string(link.link) + " to node '" + link.peer_node + "': ";
  if (link.link >= links_.size()) {
    throw std::invalid_argument(who + "above the limit of " + std::to_string(links_.size()) +
                                " links; raise max_links");
  }
  if (links_[link.link]) throw std::invalid_argument(who + "the link is there already; remove it first");
  if (!valid_node_name(link.peer_node)) {
    throw std::invalid_argument(who + "the node's name must be 1 to 63 of a-z, 0-9 and -");
  }
  if (link.dial && (!link.address.valid() || link.address.port() == 0)) {
    throw std::invalid_argument(who + "dialling needs the peer's address and port");
  }
  if (!link.dial && !listener_) {
    throw std::invalid_argument(who + "the peer is to dial, but this node does not listen; set the listen address");
  }
  for (const auto& other : links_) {
    if (other && other->config.peer_node == link.peer_node && same_token(other->config.token, link.token)) {
      throw std::invalid_argument(who + "link " + std::to_string(other->config.link) + " has this node and token");
    }
  }
  // Every link jitters in its own way, and the same way in every run of one seed.
  links_[link.link] = std::make_unique<Link>(
      link, Backoff(options_.backoff_min_us, options_.backoff_max_us, options_.seed + link.link));
  if (link.dial) {
    links_[link.link]->dial_at_once = true;
    ready(*links_[link.link]);
  }
}

void TcpCarrier::remove_link(std::uint16_t link) {
  Link* const found = find(link);
  if (found == nullptr) return;
  if (found->phase == Phase::up) ++counters_.disconnects;
  links_[link].reset();
  std::erase(ready_, link);
}

void TcpCarrier::cut(std::uint16_t link) {
  Link* const found = find(link);
  if (found == nullptr || found->phase == Phase::down) return;
  found->stream.close("cut on request");
  found->frames.clear();
  ready(*found);
}

void TcpCarrier::kick(std::uint16_t link) {
  Link* const found = find(link);
  if (found == nullptr) return;
  cut(link);
  found->dial_at_once = found->config.dial;
  ready(*found);
}

void TcpCarrier::ready(Link& link) {
  if (!std::exchange(link.ready, true)) ready_.push_back(link.config.link);
  poller_.wake();
}

std::size_t TcpCarrier::room(std::uint16_t link) const {
  const Link* const found = find(link);
  if (found == nullptr || found->phase != Phase::up || !found->stream.is_open()) return 0;
  return found->stream.space() / (FrameReader::kPrefixBytes + frame_bytes_);
}

void TcpCarrier::send(std::span<const pipeline::TxFrame> frames) {
  for (const auto& frame : frames) {
    Link* const link = find(frame.link);
    const std::size_t bytes = sizeof frame.header + frame.payload.size();
    const std::array prefix{static_cast<std::byte>(bytes >> 8U), static_cast<std::byte>(bytes)};
    if (link == nullptr || link->phase != Phase::up || bytes > frame_bytes_ ||
        !link->stream.write({prefix, std::as_bytes(std::span(frame.header)), frame.payload})) {
      ++counters_.tx_dropped;
      continue;
    }
    ++counters_.tx_frames;
    counters_.tx_bytes += bytes;
    if (!std::exchange(link->touched, true)) touched_.push_back(frame.link);
  }
  for (const std::uint16_t number : touched_) {
    Link* const link = find(number);
    link->touched = false;
    link->stream.flush();
    ++counters_.tx_calls;
    if (link->stream.is_closed()) {
      ready(*link);  // poll() tells the sink
    } else {
      watch(link->stream, link->watched, number, false);
    }
  }
  touched_.clear();
}

/// Tells the poller what `stream` waits for. `fresh`: the stream is new to it.
bool TcpCarrier::watch(TcpStream& stream, std::uint32_t& watched, std::uint64_t tag, bool fresh) {
  if (stream.is_closed()) return true;
  const std::uint32_t wanted = stream.events();
  if (!fresh && wanted == watched) return true;
  const bool done = fresh ? poller_.add(stream.fd(), wanted, tag) : poller_.change(stream.fd(), wanted, tag);
  watched = wanted;
  if (!done) stream.close("watching the connection failed: " + errno_text(errno));
  return done;
}

void TcpCarrier::note_deadline(std::optional<std::uint64_t> deadline) {
  if (deadline && (!deadline_us_ || *deadline < *deadline_us_)) deadline_us_ = deadline;
}

std::size_t TcpCarrier::poll(std::uint64_t now_us, std::size_t max_frames, FrameSink& sink) {
  now_us_ = now_us;
  ++counters_.rx_calls;
  std::array<epoll_event, kEvents> buffer;
  for (const epoll_event& event : poller_.wait(buffer)) {
    const std::uint64_t kind = event.data.u64 & kKindMask;
    const auto index = static_cast<std::size_t>(event.data.u64 & ~kKindMask);
    if (kind == kListenerTag) {
      accept();
    } else if (kind == kPendingTag) {
      drive_pending(index, sink);
    } else if (Link* const link = find(static_cast<std::uint16_t>(index)); link != nullptr && !link->ready) {
      link->ready = true;
      ready_.push_back(link->config.link);
    }
  }
  if (deadline_us_ && now_us_ >= *deadline_us_) timers();

  std::swap(ready_, driving_);
  ready_.clear();
  poller_.clear_wake();  // all that was asked for until here is done below
  std::size_t delivered = 0;
  for (std::size_t i = 0; i < driving_.size(); ++i) {
    Link* const link = find(driving_[i]);
    if (link == nullptr) continue;
    link->ready = false;
    // An even share of what is left, so that a busy link does not starve the others.
    const std::size_t left = max_frames - delivered;
    const std::size_t share = left == 0 ? 0 : std::max<std::size_t>(1, left / (driving_.size() - i));
    delivered += drive(*link, share, sink);
  }
  driving_.clear();
  if (!ready_.empty()) poller_.wake();
  poller_.arm(now_us_, deadline_us_);
  return delivered;
}

/// Looks at everything that has a time, and finds out which comes next.
void TcpCarrier::timers() {
  deadline_us_.reset();
  if (accept_again_us_ && now_us_ >= *accept_again_us_) {
    accept_again_us_.reset();
    poller_.change(listener_->fd(), EPOLLIN, kListenerTag);
  }
  note_deadline(accept_again_us_);
  for (auto& pending : pending_) {
    if (!pending) continue;
    if (now_us_ >= pending->deadline_us) {
      ++counters_.rx_unknown_peer;
      pending.reset();
    } else {
      note_deadline(pending->deadline_us);
    }
  }
  for (const auto& link : links_) {
    if (!link) continue;
    if (link->phase == Phase::dialling || (link->phase == Phase::down && link->config.dial)) {
      if (now_us_ >= link->dial_us) {
        ready(*link);
      } else {
        note_deadline(link->dial_us);
      }
    }
  }
}

void TcpCarrier::dial(Link& link) {
  link.dial_at_once = false;
  link.dial_us = now_us_ + options_.handshake_us;  // while dialling: when to give up
  link.phase = Phase::dialling;
  link.frames.clear();
  link.welcome_bytes = 0;
  link.stream = TcpStream::connect(link.config.address, stream_options(link.config.peer_node), link.dial_us);
  const auto preamble = encode_preamble({options_.node, link.config.token});
  link.stream.write({preamble});
  note_deadline(link.dial_us);
  watch(link.stream, link.watched, link.config.link, true);
}

/// The connection of `link` is closed: tell, and plan the next try.
void TcpCarrier::failed(Link& link, FrameSink& sink) {
  const bool was_up = link.phase == Phase::up;
  const std::string reason = link.stream.reason();
  link.phase = Phase::down;
  link.frames.clear();
  if (was_up) {
    ++counters_.disconnects;
    if (now_us_ - link.up_us >= options_.stable_us) link.backoff.reset();
  }
  if (link.config.dial) {
    link.dial_us = now_us_ + link.backoff.next();
    note_deadline(link.dial_us);
    if (link.dial_at_once) ready(link);
  }
  // A link that was not up is down already; but a new reason why is worth telling, once.
  if (was_up || link.last_reason != reason) sink.on_link(link.config.link, false, reason);
  link.last_reason = reason;
}

void TcpCarrier::came_up(Link& link, FrameSink& sink) {
  link.phase = Phase::up;
  link.up_us = now_us_;
  link.last_reason.clear();
  ++counters_.connects;
  sink.on_link(link.config.link, true, std::string(name()) + " with node '" + link.config.peer_node + "'");
}

void TcpCarrier::read_welcome(Link& link, FrameSink& sink) {
  while (link.welcome_bytes < kWelcomeBytes) {
    const std::size_t count = link.stream.read(std::span(link.welcome).subspan(link.welcome_bytes));
    if (count == 0) break;
    link.welcome_bytes += count;
  }
  if (link.welcome_bytes < kWelcomeBytes) {
    if (link.stream.is_closed() || now_us_ < link.dial_us) return;
    link.stream.close("the node at " + link.config.address.to_string() + " did not answer the greeting in time");
    return;
  }
  const auto status = decode_welcome(link.welcome);
  const std::string where = "the node at " + link.config.address.to_string();
  if (!status) {
    ++counters_.rx_malformed;
    link.stream.close(where + " speaks another protocol; is it the port of the TCP carrier?");
  } else if (*status == Welcome::version) {
    link.stream.close(where + " speaks another version of the protocol; bring both nodes to one version");
  } else if (*status == Welcome::refused) {
    link.stream.close(where + " refused: it has no link to node '" + options_.node +
                      "' with this token; do both nodes name each other?");
  } else {
    came_up(link, sink);
  }
}

/// Does what there is to do for one link. Returns the number of frames handed out, at most `quota`.
std::size_t TcpCarrier::drive(Link& link, std::size_t quota, FrameSink& sink) {
  if (link.phase == Phase::down) {
    if (link.config.dial && (link.dial_at_once || now_us_ >= link.dial_us)) dial(link);
    if (link.phase == Phase::down) return 0;
  }
  link.stream.drive(now_us_);
  if (link.phase == Phase::dialling) read_welcome(link, sink);
  std::size_t delivered = 0;
  bool drained = false;
  for (int reads = 0; link.phase == Phase::up;) {
    const auto frame = delivered < quota ? link.frames.next() : std::nullopt;
    if (frame) {
      ++delivered;
      ++counters_.rx_frames;
      counters_.rx_bytes += frame->size();
      sink.on_frame(link.config.link, *frame);
      continue;
    }
    if (link.frames.failed()) {
      ++counters_.rx_malformed;
      link.stream.close("the peer sent a frame longer than " + std::to_string(FrameReader::kMaxFrame) + " bytes");
      break;
    }
    if (delivered >= quota || reads++ == kReadBatch) {
      ready(link);  // frames may wait here that the descriptor does not show
      break;
    }
    if (drained) break;
    const auto wanted = link.frames.wanted();
    const std::size_t count = link.stream.read(wanted);
    if (count == 0) break;
    // A plain socket that gave less than asked for is empty; if more has come since, the descriptor shows it. TLS gives
    // a record at a time and may hold more.
    drained = !options_.tls && count < wanted.size();
    link.frames.filled(count);
  }
  if (link.stream.is_closed() && !(link.phase == Phase::up && link.ready)) {
    failed(link, sink);
  } else {
    watch(link.stream, link.watched, link.config.link, false);
  }
  return delivered;
}

void TcpCarrier::accept() {
  for (int i = 0; i < kAcceptBatch; ++i) {
    auto fd = listener_->accept();
    if (!fd) {
      if (listener_->error() == EAGAIN) return;
      // Out of descriptors or memory: the connection stays in the queue and the listener readable, so look away for a
      // while.
      poller_.change(listener_->fd(), 0, kListenerTag);
      accept_again_us_ = now_us_ + options_.accept_pause_us;
      note_deadline(accept_again_us_);
      return;
    }
    const std::size_t index = free_pending();
    auto& pending = pending_[index].emplace();
    pending.deadline_us = now_us_ + options_.handshake_us;
    pending.stream = TcpStream::accept(std::move(*fd), stream_options({}), pending.deadline_us);
    note_deadline(pending.deadline_us);
    if (!watch(pending.stream, pending.watched, kPendingTag | index, true)) pending_[index].reset();
  }
}

/// A free place; the oldest gives way when there is none. Refusing the newest instead would let a few silent strangers
/// lock everyone out.
std::size_t TcpCarrier::free_pending() {
  std::size_t oldest = 0;
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    if (!pending_[i]) return i;
    if (pending_[i]->deadline_us < pending_[oldest]->deadline_us) oldest = i;
  }
  ++counters_.rx_unknown_peer;
  pending_[oldest].reset();
  return oldest;
}

void TcpCarrier::refuse(Pending& pending, Welcome status) {
  pending.stream.write({encode_welcome(status)});
  pending.stream.finish("refused", pending.deadline_us);
}

void TcpCarrier::drive_pending(std::size_t index, FrameSink& sink) {
  if (index >= pending_.size() || !pending_[index]) return;
  Pending& pending = *pending_[index];
  const bool stranger = pending.stream.state() == TcpStreamState::handshaking;
  pending.stream.drive(now_us_);
  if (stranger && pending.stream.is_closed()) ++counters_.rx_unknown_peer;  // TLS says that it is none of ours
  auto state = PreambleReader::State::more;
  while (pending.stream.is_open() && state == PreambleReader::State::more) {
    const std::size_t count = pending.stream.read(pending.reader.wanted());
    if (count == 0) break;
    state = pending.reader.filled(count);
  }
  switch (state) {
    case PreambleReader::State::more:
      break;
    case PreambleReader::State::done: {
      const Preamble& who = pending.reader.preamble();
      Link* match = nullptr;
      for (const auto& link : links_) {
        if (link && !link->config.dial && link->config.peer_node == who.node &&
            same_token(link->config.token, who.token)) {
          match = link.get();
        }
      }
      if (match != nullptr && (!options_.tls || pending.stream.peer_is(who.node))) {
        adopt(*match, pending, sink);
        pending_[index].reset();
        return;
      }
      ++counters_.rx_unknown_peer;
      refuse(pending, Welcome::refused);
      break;
    }
    case PreambleReader::State::bad_version:
      ++counters_.rx_malformed;
      refuse(pending, Welcome::version);
      break;
    default:
      ++counters_.rx_malformed;
      pending.stream.close("not a preamble");
      break;
  }
  if (pending.stream.is_closed()) {
    pending_[index].reset();
  } else {
    watch(pending.stream, pending.watched, kPendingTag | index, false);
  }
}

void TcpCarrier::adopt(Link& link, Pending& pending, FrameSink& sink) {
  if (link.phase == Phase::up) {
    link.stream.close("replaced by a new connection from node '" + link.config.peer_node +
                      "': it restarted or lost this one");
    failed(link, sink);
  }
  link.stream = std::move(pending.stream);
  link.frames.clear();
  link.watched = 0;  // the poller knows the descriptor by another tag
  link.stream.write({encode_welcome(Welcome::accepted)});
  link.stream.flush();
  watch(link.stream, link.watched, link.config.link, false);
  came_up(link, sink);
  ready(link);  // frames may have come with the preamble, and a stream that broke meanwhile is noticed
}

}  // namespace slotwire::carriers
