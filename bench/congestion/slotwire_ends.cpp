#include <algorithm>
#include <array>
#include <list>
#include <stdexcept>
#include <vector>

#include "content.hpp"
#include "ends.hpp"
#include "report.hpp"
#include "sampler.hpp"
#include "slotwire.hpp"

namespace slotwire::bench {
namespace {

using Clock = std::chrono::steady_clock;

/// What a stream moves before the others have their turn.
constexpr std::size_t kTurnBytes = 32'768;

[[noreturn]] void fail(const char* what, const Error& error) {
  throw std::runtime_error(std::string(what) + ": " + std::string(name(error.status)) + ": " + error.text);
}

template <class T>
T value_of(Result<T> result, const char* what) {
  if (!result) fail(what, result.error());
  return *std::move(result);
}

void must(const Result<void>& result, const char* what) {
  if (!result) fail(what, result.error());
}

/// Waits for connections that are ready, until `end`; none: it is over, or the context had events.
std::span<const Ready> wait_until(Poller& poller, Clock::time_point end) {
  const Result<std::span<const Ready>> ready = poller.wait(end);
  if (ready) return *ready;
  if (ready.status() != Status::timed_out && ready.status() != Status::again) fail("waiting", ready.error());
  return {};
}

struct Outgoing {
  Connection connection;
  std::uint64_t number;
  std::uint64_t bytes = 0;
  bool ended = false;
};

/// All connections of one link, opened together: one after another would take a round trip each.
std::list<Outgoing> connected(Context& context, Poller& poller, const SenderOptions& options) {
  constexpr std::size_t kAtOnce = 256;
  ConnectOptions rings;
  rings.in_bytes = options.ring_bytes;
  rings.out_bytes = options.ring_bytes == 0 ? 0 : 4096;
  std::list<Outgoing> made;
  std::size_t asked = 0;
  const Clock::time_point end = Clock::now() + options.patience;
  while (made.size() < options.connections) {
    for (; asked < options.connections && asked - made.size() < kAtOnce; ++asked)
      must(context.start_connect(options.to, end, nullptr, rings), "connecting");
    if (Clock::now() > end) throw std::runtime_error("connecting: not all connections were made in time");
    wait_until(poller, end);
    while (std::optional<Connected> one = context.connected())
      made.push_back({value_of(std::move(one->connection), "connecting"), options.first + made.size()});
  }
  for (Outgoing& one : made) must(poller.add(one.connection, Interest::writable, &one), "waiting");
  return made;
}

/// Writes what there is room for, at most a turn.
void write_some(Outgoing& to) {
  std::array<std::byte, kTurnBytes> bytes;
  fill_content(bytes, to.number, to.bytes);
  std::size_t done = 0;
  while (done < bytes.size()) {
    const Result<std::size_t> written = to.connection.stream().write(std::span(bytes).subspan(done));
    if (written.status() == Status::again) break;
    done += value_of(written, "sending");
  }
  to.bytes += done;
}

/// Ends all streams and waits until the peer's node has every byte.
void end_all(Poller& poller, std::list<Outgoing>& streams, Clock::time_point end) {
  std::size_t open = streams.size();
  const auto try_end = [&](Outgoing& one) {
    if (one.ended) return;
    const Result<void> ended = one.connection.stream().shutdown();
    if (ended.status() == Status::again) return;
    must(ended, "ending a stream");
    one.ended = true;
    --open;
    must(poller.remove(one.connection), "ending a stream");
  };
  for (Outgoing& one : streams) try_end(one);
  while (open > 0) {
    if (Clock::now() > end) throw std::runtime_error("ending the streams: what was written did not leave in time");
    for (const Ready& ready : wait_until(poller, end)) try_end(*static_cast<Outgoing*>(ready.token));
  }
  for (Outgoing& one : streams) {
    const Result<void> arrived = one.connection.flush(end);
    // A sink closes when all streams have ended, so nothing was under way any more.
    if (arrived.status() != Status::peer_closed) must(arrived, "waiting for what was written to arrive");
  }
}

struct Incoming {
  Connection connection;
  ContentReader reader{};
  bool wrong = false, ended = false;
};

/// Reads what is there, at most a turn.
void read_some(Incoming& from, Sampler& sampler) {
  for (std::size_t done = 0; done < kTurnBytes;) {
    const Result<std::span<const std::byte>> bytes = from.connection.stream().peek();
    if (bytes.status() == Status::again) return;
    from.ended = !bytes || bytes->empty();
    if (!bytes && bytes.status() != Status::peer_closed) from.wrong = true;
    if (from.ended) return;
    if (!from.wrong && !from.reader.check(*bytes)) from.wrong = true;
    sampler.add(bytes->size());
    done += bytes->size();
    must(from.connection.stream().consume(bytes->size()), "receiving");
  }
}

void accept_all(Service& service, Poller& poller, std::list<Incoming>& streams) {
  while (true) {
    Result<Connection> one = service.accept(Deadline::now());
    if (one.status() == Status::again || one.status() == Status::timed_out) return;
    streams.push_back({value_of(std::move(one), "accepting")});
    must(poller.add(streams.back().connection, Interest::readable, &streams.back()), "accepting");
  }
}

}  // namespace

void send_over_slotwire(const SenderOptions& options) {
  Context context = value_of(Context::open(), "attaching to slotwired");
  Poller poller = value_of(Poller::create(context), "attaching to slotwired");
  std::list<Outgoing> streams = connected(context, poller, options);
  say_ready();
  if (!wait_for_start()) return;
  const Clock::time_point end = Clock::now() + options.time;
  while (Clock::now() < end)
    for (const Ready& ready : wait_until(poller, end)) write_some(*static_cast<Outgoing*>(ready.token));
  end_all(poller, streams, Clock::now() + options.patience);
  std::map<std::uint64_t, std::uint64_t> sent;
  for (const Outgoing& one : streams) sent[one.number] = one.bytes;
  say_end(sent, 0);
}

void sink_of_slotwire(const SinkOptions& options) {
  Context context = value_of(Context::open(), "attaching to slotwired");
  Service service = value_of(context.serve(options.at, {.backlog = 2048}), "serving");
  Poller poller = value_of(Poller::create(context), "attaching to slotwired");
  std::list<Incoming> streams;
  std::size_t open = options.connections;
  Sampler sampler;
  say_ready();
  while (open > 0) {
    accept_all(service, poller, streams);
    for (const Ready& ready : wait_until(poller, sampler.next())) {
      Incoming& from = *static_cast<Incoming*>(ready.token);
      read_some(from, sampler);
      if (!from.ended) continue;
      must(poller.remove(from.connection), "receiving");
      --open;
    }
    sampler.tick(Clock::now());
  }
  std::map<std::uint64_t, std::uint64_t> received;
  std::size_t wrong = 0;
  for (const Incoming& one : streams) {
    received[one.reader.number()] += one.reader.bytes();
    wrong += one.wrong ? 1 : 0;
  }
  say_end(received, wrong);
}

}  // namespace slotwire::bench
