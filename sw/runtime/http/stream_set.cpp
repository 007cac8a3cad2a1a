#include "runtime/http/stream_set.hpp"

#include <utility>

namespace slotwire::http {

using http_stream::ResetCode;
using http_stream::StreamEvent;
using http_stream::StreamNumber;

namespace {

/// Before other sessions have their turn.
constexpr int kDrivesAtOnce = 16;

/// Each stream has a pipe, whose buffers count.
http_stream::StreamsOptions with_pipes(http_stream::StreamsOptions options) {
  options.owner_bytes += StreamPipe::kBytes;
  return options;
}

}  // namespace

std::string reset_text(ResetCode code) {
  switch (code) {
    case ResetCode::cancelled:
      return "the other end cancelled it";
    case ResetCode::refused:
      return "the other end refused it";
    case ResetCode::no_target:
      return "the server has no such target";
    case ResetCode::failed:
      return "the other end broke off, or cannot reach the target: its log says why";
    case ResetCode::limit:
      return "the other end has too many streams, or no memory for another one: its log says which";
    case ResetCode::none:
      break;
  }
  return "the session ended";
}

StreamSet::StreamSet(Loop& loop, http_stream::MessagePipe& pipe, http_stream::Role role,
                     const http_stream::StreamsOptions& options, Callbacks callbacks, http_stream::StreamMemory* memory)
    : loop_(loop), pipe_(pipe), callbacks_(std::move(callbacks)), streams_(pipe, role, with_pipes(options), memory) {}

StreamSet::~StreamSet() = default;

core::Result<StreamNumber> StreamSet::open(std::string_view target) {
  core::Result<StreamNumber> opened = streams_.open(target);
  if (opened.ok()) free_.insert(opened.value());
  return opened;
}

void StreamSet::join(StreamNumber stream, StreamPipe::Ends ends, const std::string& label) {
  if (free_.erase(stream) == 0) return;
  Joined joined;
  joined.label = label;
  joined.since = std::chrono::steady_clock::now();
  joined.pipe = std::make_unique<StreamPipe>(loop_, streams_, stream, std::move(ends), callbacks_.touch);
  StreamPipe& pipe = *joined.pipe;
  joined_[stream] = std::move(joined);
  pipe.on_readable();
  callbacks_.touch();
}

void StreamSet::refuse(StreamNumber stream, ResetCode code) {
  free_.erase(stream);
  streams_.reset(stream, code);
  streams_.release(stream);
  callbacks_.touch();
}

StreamSet::Answer StreamSet::answer(StreamNumber stream) {
  if (!free_.contains(stream)) return Answer::refused;
  std::byte byte{};
  if (streams_.read(stream, std::span(&byte, 1)) == 1) return Answer::accepted;
  return streams_.at_end(stream) ? Answer::refused : Answer::none;
}

void StreamSet::accept(StreamNumber stream) {
  constexpr std::byte kYes{1};
  streams_.write(stream, std::span(&kYes, 1));
  callbacks_.touch();
}

void StreamSet::drive() {
  // What an event leads to may bring another one, such as room for what was read from a target meanwhile.
  for (int i = 0;; ++i) {
    streams_.drive();
    bool worked = false;
    while (const auto event = streams_.next_event()) {
      take(*event);
      worked = true;
    }
    if (!worked) break;
    if (i == kDrivesAtOnce) {
      callbacks_.touch();
      break;
    }
  }
  reap();
  const auto state = pipe_.state();
  if (streams_.failure() && state != http_stream::SessionState::closing && state != http_stream::SessionState::closed) {
    pipe_.close(*streams_.failure());
  }
}

void StreamSet::take(const StreamEvent& event) {
  if (event.kind == StreamEvent::Kind::opened) {
    free_.insert(event.stream);
    if (callbacks_.opened) {
      callbacks_.opened(event.stream, std::string(streams_.target(event.stream)));
    } else {
      refuse(event.stream, ResetCode::refused);
    }
    return;
  }
  const auto found = joined_.find(event.stream);
  const bool is_joined = found != joined_.end() && !found->second.pipe->ended();
  switch (event.kind) {
    case StreamEvent::Kind::readable:
      if (is_joined) found->second.pipe->on_readable();
      return;
    case StreamEvent::Kind::writable:
      if (is_joined) found->second.pipe->on_writable();
      return;
    case StreamEvent::Kind::reset: {
      const ResetCode code = streams_.reset_code(event.stream);
      free_.erase(event.stream);
      streams_.release(event.stream);
      if (!is_joined) return;
      found->second.code = code;
      found->second.pipe->on_reset(reset_text(code));
      return;
    }
    case StreamEvent::Kind::finished:
      // Its last bytes may wait for the descriptor: until they are written it counts, and is released by reap().
      if (!is_joined) return streams_.release(event.stream);
      return found->second.pipe->on_finished();
    case StreamEvent::Kind::opened:
      return;
  }
}

void StreamSet::reap() {
  const auto finish = [this](StreamNumber stream, const Joined& joined) {
    const StreamPipe& pipe = *joined.pipe;
    if (!pipe.ended()) return false;
    if (callbacks_.ended) {
      callbacks_.ended({stream, joined.label, pipe.bytes_in(), pipe.bytes_out(),
                        std::chrono::steady_clock::now() - joined.since, pipe.reason(), pipe.in_order(), joined.code});
    }
    // One that did not finish was released where it ended.
    streams_.release(stream);
    return true;
  };
  std::erase_if(joined_, [&](const auto& entry) { return finish(entry.first, entry.second); });
}

}  // namespace slotwire::http
