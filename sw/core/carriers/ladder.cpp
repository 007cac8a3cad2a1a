#include "core/carriers/ladder.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "core/carriers/frame_cipher.hpp"
#include "core/pipeline/crc32c.hpp"

namespace slotwire::carriers {
namespace {

constexpr std::size_t kKindAt = 1, kNonceAt = 2, kCrcAt = kNonceAt + kPathNonceBytes;
static_assert(kCrcAt + sizeof(std::uint32_t) == regs::kHeaderBytes);
constexpr std::uint64_t kSecondUs = 1'000'000;
constexpr std::size_t kEventsAtOnce = 16;
/// Between the questions that prove a better rung.
constexpr std::uint64_t kProofAskUs = 50'000;

}  // namespace

std::array<std::byte, regs::kHeaderBytes> PathFrame::encode() const {
  std::array<std::byte, regs::kHeaderBytes> bytes{};
  bytes[0] = kPathForm;
  bytes[kKindAt] = static_cast<std::byte>(kind);
  std::copy(nonce.begin(), nonce.end(), bytes.begin() + kNonceAt);
  const std::uint32_t crc = pipeline::crc32c(0, std::span(bytes).first(kCrcAt));
  for (std::size_t i = 0; i < sizeof crc; ++i)
    bytes[kCrcAt + i] = static_cast<std::byte>((crc >> (24 - 8 * i)) & 0xFFU);
  return bytes;
}

std::optional<PathFrame> PathFrame::decode(std::span<const std::byte> frame) {
  if (frame.size() != regs::kHeaderBytes || frame[0] != kPathForm) return std::nullopt;
  PathFrame decoded;
  decoded.kind = static_cast<Kind>(frame[kKindAt]);
  std::copy_n(frame.begin() + kNonceAt, kPathNonceBytes, decoded.nonce.begin());
  if (decoded.kind != Kind::ask && decoded.kind != Kind::answer) return std::nullopt;
  const auto expected = decoded.encode();
  return std::equal(frame.begin(), frame.end(), expected.begin()) ? std::optional(decoded) : std::nullopt;
}

LadderCarrier::LadderCarrier(std::string name, std::vector<Rung> rungs, LadderOptions options)
    : name_(std::move(name)), rungs_(std::move(rungs)), options_(std::move(options)) {
  if (rungs_.empty() || rungs_.size() > kMaxRungs) throw std::invalid_argument(name_ + ": a ladder has 1 to 8 rungs");
  if (options_.max_links > 65535) throw std::invalid_argument(name_ + ": max_links must be 0 to 65535");
  if (options_.losses == 0 || options_.proofs == 0) {
    throw std::invalid_argument(name_ + ": losses and proofs must be at least 1");
  }
  if (!options_.random) options_.random = random_bytes;
  links_.resize(options_.max_links);
  for (std::size_t i = 0; i < rungs_.size(); ++i) {
    sinks_[i].use(*this, i);
    lines_per_frame_ = std::max(lines_per_frame_, rungs_[i].carrier->lines_per_frame());
    if (!poller_.add(rungs_[i].carrier->fd(), EPOLLIN, i)) throw_errno("watching a carrier of a ladder");
  }
}

void LadderCarrier::add_link(std::uint16_t link, unsigned allowed) {
  if (link >= links_.size() || links_[link].known) {
    throw std::invalid_argument(name_ + ": link " + std::to_string(link) + " is there already or above the limit of " +
                                std::to_string(links_.size()) + " links");
  }
  if (allowed == 0 || allowed >> rungs_.size() != 0) {
    throw std::invalid_argument(name_ + ": link " + std::to_string(link) + " needs some of the ladder's rungs");
  }
  Link& added = links_[link] = {};
  added.known = true;
  for (std::size_t i = 0; i < rungs_.size(); ++i) {
    added.paths[i].allowed = (allowed >> i & 1U) != 0;
    added.sole = added.sole || (allowed == 1U << i && rungs_[i].connection);
  }
}

void LadderCarrier::remove_link(std::uint16_t link) {
  if (known(link)) links_[link] = {};
}

void LadderCarrier::limit_lines(std::uint16_t link, std::size_t rung, std::size_t lines) {
  if (known(link) && rung < rungs_.size() && lines != 0) links_[link].paths[rung].lines = lines;
}

void LadderCarrier::ask_anew(std::uint16_t link, std::size_t rung) {
  if (!known(link) || rung >= rungs_.size()) return;
  Path& path = links_[link].paths[rung];
  path.lost = path.proofs = 0;
  path.wait_us = 0;
  path.ask_us = 0;
  path.round_trip_us = 0;
  due_us_ = 0;
  poller_.wake();
}

std::size_t LadderCarrier::lines_per_frame_of(std::uint16_t link) const {
  const auto lines = [&](std::size_t rung) {
    return std::min(rungs_[rung].carrier->lines_per_frame_of(link), links_[link].paths[rung].lines);
  };
  if (!known(link)) return lines_per_frame_;
  if (links_[link].rung != kNone) return lines(links_[link].rung);
  std::size_t least = lines_per_frame_;
  for (std::size_t i = 0; i < rungs_.size(); ++i) {
    if (links_[link].paths[i].allowed) least = std::min(least, lines(i));
  }
  return least;
}

std::uint32_t LadderCarrier::retransmit_floor_us(std::uint16_t link) const {
  if (!known(link) || links_[link].rung == kNone) return 0;
  return rungs_[links_[link].rung].retransmit_floor_us;
}

bool LadderCarrier::needs_congestion_control(std::uint16_t link) const {
  return known(link) && links_[link].rung != kNone && rungs_[links_[link].rung].carrier->needs_congestion_control(link);
}

std::size_t LadderCarrier::room(std::uint16_t link) const {
  if (!known(link) || links_[link].rung == kNone || !links_[link].reported) return 0;
  return rungs_[links_[link].rung].carrier->room(link);
}

void LadderCarrier::send(std::span<const pipeline::TxFrame> frames) {
  while (!frames.empty()) {
    const auto rung_of = [this](std::uint16_t link) {
      return known(link) && links_[link].reported ? links_[link].rung : kNone;
    };
    const std::size_t rung = rung_of(frames.front().link);
    std::size_t count = 0;
    while (count < frames.size() && rung_of(frames[count].link) == rung) {
      const std::uint16_t link = frames[count++].link;
      if (rung == kNone || std::exchange(links_[link].traffic, true) || links_[link].sole) continue;
      // It was idle: whether its path still works is to be known soon.
      Path& path = links_[link].paths[rung];
      ask_by(path, std::max(now_us_, path.asked_us + options_.busy_ask_us));
      poller_.arm(now_us_, due_us_);
    }
    if (rung == kNone) {
      dropped_ += count;
    } else {
      rungs_[rung].carrier->send(frames.first(count));
    }
    frames = frames.subspan(count);
  }
}

// ---- what rungs report ----

bool LadderCarrier::on_frame(std::size_t rung, std::uint16_t link, std::span<const std::byte> frame) {
  if (!known(link) || !links_[link].paths[rung].allowed) return false;
  links_[link].paths[rung].heard_us = now_us_;
  if (const std::optional<PathFrame> path_frame = PathFrame::decode(frame)) {
    ++path_rx_;
    take_path_frame(rung, link, *path_frame);
    return true;
  }
  ++delivered_;
  // The peer sends over a worse one than this end: it may know why.
  const std::size_t in_use = links_[link].rung;
  if (in_use != kNone && rung > in_use) {
    Path& path = links_[link].paths[in_use];
    ask_by(path, std::max(now_us_, path.asked_us + options_.busy_ask_us));
  }
  return sink_->on_frame(link, frame);
}

void LadderCarrier::on_link(std::size_t rung, std::uint16_t link, bool up, std::string_view reason) {
  if (!known(link) || !links_[link].paths[rung].allowed) return;
  Path& path = links_[link].paths[rung];
  path.up = up;
  path.lost = path.proofs = 0;
  path.wait_us = 0;
  path.ask_us = now_us_;
  for (Question& question : path.questions) question.waits = false;
  if (up && links_[link].sole) {
    path.works = true;
    path.reason.clear();
    links_[link].sole_text = reason;
    // What it runs over is another connection now, and what was in flight may be lost.
    if (links_[link].reported) sink_->on_link(link, true, reason);
  } else if (up) {
    path.reason = "no answer yet (" + std::string(reason) + ")";
  } else {
    path.works = false;
    path.reason = reason;
  }
  due(now_us_);
  choose(link);
}

bool LadderCarrier::send_path_frame(std::size_t rung, std::uint16_t link, const PathFrame& frame) {
  Carrier& carrier = *rungs_[rung].carrier;
  if (carrier.room(link) == 0) return false;
  pipeline::TxFrame out;
  out.link = link;
  const auto bytes = frame.encode();
  std::memcpy(out.header, bytes.data(), bytes.size());
  const std::uint64_t dropped = carrier.counters().tx_dropped;
  carrier.send(std::span(&out, 1));
  const bool sent = carrier.counters().tx_dropped == dropped;
  if (sent) ++path_tx_;
  return sent;
}

void LadderCarrier::take_path_frame(std::size_t rung, std::uint16_t link, const PathFrame& frame) {
  Link& l = links_[link];
  if (frame.kind == PathFrame::Kind::ask) {
    if (now_us_ - l.answers_us >= kSecondUs) {
      l.answers_us = now_us_;
      l.answers = 0;
    }
    if (l.answers < options_.answers_per_second &&
        send_path_frame(rung, link, {PathFrame::Kind::answer, frame.nonce})) {
      ++l.answers;
    }
    return;
  }
  Path& path = l.paths[rung];
  const auto question = std::find_if(path.questions.begin(), path.questions.end(),
                                     [&](const Question& q) { return q.waits && q.nonce == frame.nonce; });
  if (question == path.questions.end()) return;
  question->waits = false;
  const std::uint64_t took = std::max<std::uint64_t>(now_us_ - question->asked_us, 1);
  path.round_trip_us = path.round_trip_us == 0 ? took : (7 * path.round_trip_us + took) / 8;
  path.lost = 0;
  ++path.proofs;
  path.wait_us = 0;
  path.works = true;
  path.reason.clear();
  path.ask_us = now_us_ + ask_interval(l, rung);
  due(path.ask_us);
  choose(link);
}

// ---- questions ----

std::uint64_t LadderCarrier::patience(const Path& path, std::size_t rung) const {
  return std::max(rungs_[rung].patience_us, 4 * path.round_trip_us);
}

std::uint64_t LadderCarrier::ask_interval(const Link& link, std::size_t rung) const {
  const Path& path = link.paths[rung];
  if (rung == link.rung) return link.traffic ? options_.busy_ask_us : options_.idle_ask_us;
  const bool better = link.rung == kNone || rung < link.rung;
  return better && path.works && path.proofs < options_.proofs ? kProofAskUs : options_.idle_ask_us;
}

void LadderCarrier::ask(std::uint16_t link, std::size_t rung) {
  Path& path = links_[link].paths[rung];
  path.asked_us = now_us_;
  Question& question = path.questions[path.next_question++ % kOutstanding];
  if (rung == links_[link].rung) links_[link].traffic = false;
  PathFrame frame;
  if (options_.random(frame.nonce)) {
    // A connection that takes no frames for as long as the patience lasts is as silent as one that brings no answer.
    const bool sent = send_path_frame(rung, link, frame);
    question = {frame.nonce, now_us_, sent || rungs_[rung].connection};
  }
  if (path.works) {
    path.ask_us = now_us_ + (path.lost != 0 ? std::min(patience(path, rung), options_.busy_ask_us)
                                            : ask_interval(links_[link], rung));
  } else {
    path.wait_us = path.wait_us == 0 ? options_.first_ask_us : std::min(2 * path.wait_us, options_.last_ask_us);
    path.ask_us = now_us_ + path.wait_us;
  }
}

void LadderCarrier::silent(Path& path, std::uint64_t waited_us) {
  path.proofs = 0;
  if (++path.lost < options_.losses) return;
  path.works = false;
  path.reason = "the peer does not answer over it (" + std::to_string(path.lost) + " questions, " +
                std::to_string(waited_us / 1000) + " ms each): what lies between discards its frames";
}

/// Looks at what is due for one link.
void LadderCarrier::tend(std::uint16_t link) {
  Link& l = links_[link];
  for (std::size_t i = 0; i < rungs_.size() && !l.sole; ++i) {
    Path& path = l.paths[i];
    if (!path.allowed || !path.up) continue;
    const std::uint64_t wait = patience(path, i);
    for (Question& question : path.questions) {
      if (!question.waits) continue;
      if (now_us_ - question.asked_us < wait) {
        due(question.asked_us + wait);
        continue;
      }
      question.waits = false;
      if (rungs_[i].connection && path.heard_us > question.asked_us) continue;
      silent(path, wait);
      // One that is in doubt is asked at once.
      if (path.works) path.ask_us = now_us_;
    }
    if (now_us_ >= path.ask_us) ask(link, i);
    due(path.ask_us);
  }
  choose(link);
}

std::string LadderCarrier::reasons(const Link& link) const {
  std::string text;
  for (std::size_t i = 0; i < rungs_.size(); ++i) {
    if (!link.paths[i].allowed) continue;
    if (link.sole) return link.paths[i].reason;
    text += (text.empty() ? "" : "; ") + rungs_[i].name + ": " + link.paths[i].reason;
  }
  return text;
}

/// The best rung that works, where a better one than the one in use has to prove itself first.
void LadderCarrier::choose(std::uint16_t link) {
  Link& l = links_[link];
  std::size_t best = kNone;
  for (std::size_t i = 0; i < rungs_.size() && best == kNone; ++i) {
    const Path& path = l.paths[i];
    if (!path.allowed || !path.up || !path.works) continue;
    const bool in_use_works = l.rung != kNone && l.paths[l.rung].works && l.paths[l.rung].up;
    if (i == l.rung || !in_use_works || path.proofs >= options_.proofs || i > l.rung) best = i;
  }
  if (best == l.rung && (best != kNone) == l.reported) {
    if (best == kNone && sink_ != nullptr) {
      // Why it cannot come up, when that is news.
      std::string why = reasons(l);
      if (why == l.told) return;
      l.told = std::move(why);
      sink_->on_link(link, false, l.told);
    }
    return;
  }
  if (sink_ == nullptr) return;
  const std::size_t before = std::exchange(l.rung, best);
  l.since_us = now_us_;
  if (best == kNone) {
    l.reported = false;
    l.told = reasons(l);
    sink_->on_link(link, false, l.told);
    return;
  }
  ++l.changes;
  l.traffic = true;
  ask_by(l.paths[best], now_us_ + options_.busy_ask_us);
  l.reported = true;
  l.told.clear();
  std::string text = l.sole ? l.sole_text : rungs_[best].name;
  if (before != kNone && before < best) text += " instead of " + rungs_[before].name + ": " + l.paths[before].reason;
  sink_->on_link(link, true, text);
}

std::size_t LadderCarrier::poll(std::uint64_t now_us, std::size_t max_frames, FrameSink& sink) {
  now_us_ = now_us;
  sink_ = &sink;
  delivered_ = 0;
  std::array<epoll_event, kEventsAtOnce> places;
  for (const epoll_event& event : poller_.wait(places)) {
    const auto rung = static_cast<std::size_t>(event.data.u64);
    const std::size_t left = max_frames > delivered_ ? max_frames - delivered_ : 1;
    rungs_[rung].carrier->poll(now_us, left, sinks_[rung]);
  }
  if (due_us_ && now_us >= *due_us_) {
    due_us_.reset();
    for (std::size_t link = 0; link < links_.size(); ++link) {
      if (links_[link].known) tend(static_cast<std::uint16_t>(link));
    }
  }
  poller_.arm(now_us, due_us_);
  sink_ = nullptr;
  return delivered_;
}

LadderStatus LadderCarrier::status(std::uint16_t link) const {
  LadderStatus status;
  if (!known(link)) return status;
  const Link& l = links_[link];
  if (l.rung != kNone) status.rung = l.rung;
  status.since_us = l.since_us;
  status.changes = l.changes;
  for (std::size_t i = 0; i < rungs_.size(); ++i) {
    const Path& path = l.paths[i];
    status.rungs.push_back({path.allowed, path.up, path.works, path.reason, path.round_trip_us});
  }
  return status;
}

const CarrierCounters& LadderCarrier::counters() const {
  counters_ = {};
  for (const Rung& rung : rungs_) {
    const CarrierCounters& c = rung.carrier->counters();
    counters_.tx_frames += c.tx_frames;
    counters_.tx_bytes += c.tx_bytes;
    counters_.tx_calls += c.tx_calls;
    counters_.tx_dropped += c.tx_dropped;
    counters_.rx_frames += c.rx_frames;
    counters_.rx_bytes += c.rx_bytes;
    counters_.rx_calls += c.rx_calls;
    counters_.rx_unknown_peer += c.rx_unknown_peer;
    counters_.rx_malformed += c.rx_malformed;
    counters_.rx_other_port += c.rx_other_port;
    counters_.rx_too_large += c.rx_too_large;
    counters_.connects += c.connects;
    counters_.disconnects += c.disconnects;
  }
  counters_.tx_frames -= std::min(counters_.tx_frames, path_tx_);
  counters_.tx_bytes -= std::min(counters_.tx_bytes, path_tx_ * regs::kHeaderBytes);
  counters_.rx_frames -= std::min(counters_.rx_frames, path_rx_);
  counters_.rx_bytes -= std::min(counters_.rx_bytes, path_rx_ * regs::kHeaderBytes);
  counters_.tx_dropped += dropped_;
  return counters_;
}

}  // namespace slotwire::carriers
