#include "web/server/server_connection.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <utility>

#include "web/http/text.hpp"
#include "web/server/server_core.hpp"

namespace slotwire::web::detail {
namespace {

using http::BodyKind;

/// Steps of one connection in one turn, so that a busy one cannot keep the others waiting.
constexpr int kStepsAtOnce = 8;
/// Of the body of a request that was answered before it had arrived; more ends the connection.
constexpr std::size_t kMostDiscarded = std::size_t{1} << 20U;
/// Room in the ring that is worth waking up for.
constexpr std::size_t kWorthWaking = 4096;
/// Heads that are sent in one record with the body's beginning.
constexpr std::size_t kShortHead = 2048;
/// A client that takes nothing of a complete response for so long is given up.
constexpr std::chrono::seconds kMostUnsentTime{60};
/// Credit that is worth a field; a server with more is not short of anything.
constexpr std::size_t kMostCredit = 32;
/// Between responses: begin no new request on this connection.
constexpr std::string_view kNotice = "HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n";
constexpr std::string_view kGoOn = "HTTP/1.1 100 Continue\r\n\r\n";

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Error over() {
  return Error{Status::cancelled, "the exchange is over", 0};
}
Error invalid(std::string text) {
  return Error{Status::invalid, std::move(text), 0};
}

std::string text_of(const Peer& peer) {
  return peer.name + "(" + std::to_string(peer.pid) + ")@" + peer.node;
}

bool has_prefix(std::string_view name, std::string_view prefix) {
  return name.size() >= prefix.size() && equal_names(name.substr(0, prefix.size()), prefix);
}

/// Fields that the library writes.
bool is_ours(std::string_view name) {
  constexpr std::array<std::string_view, 7> kOurs{"connection",     "content-length", "transfer-encoding",
                                                  "keep-alive",     "upgrade",        "slotwire-unprocessed",
                                                  "slotwire-credit"};
  return std::any_of(kOurs.begin(), kOurs.end(), [&](std::string_view ours) { return equal_names(ours, name); });
}

bool has_no_body(unsigned status) {
  return status < 200 || status == http::kNoContent || status == http::kNotModified;
}

std::string_view upgrade_of(const http::Head& head) {
  if (head.http_1_0 || !head.has_token("connection", "upgrade")) return {};
  return head.field("upgrade");
}

}  // namespace

ServerConnection::ServerConnection(ServerCore& core, Connection slot)
    : core_(core),
      slot_(std::move(slot)),
      stream_(slot_.stream()),
      head_(core.options().max_head),
      watched_(Interest::readable) {
  if (Result<Peer> peer = slot_.peer()) client_ = *std::move(peer);
}

ServerConnection::~ServerConnection() {
  if (watched_ == Interest::none) --core_.muted;
}

// ---- the loop ----

void ServerConnection::touch() {
  core_.touch(*this);
}

void ServerConnection::drive() {
  if (ended()) return;
  if (client_is_gone()) return abort(Abort::client_gone);
  int steps = 0;
  while (steps < kStepsAtOnce && step()) ++steps;
  if (ended()) return;
  if (steps == kStepsAtOnce) touch();
  watch();
}

/// False: nothing more can be done now.
bool ServerConnection::step() {
  if (failed_ != Abort::none && exchange_ != nullptr) {
    abort_exchange(std::exchange(failed_, Abort::none), std::exchange(failed_status_, 0));
    return true;
  }
  if (!flush() && exchange_ == nullptr) return false;
  switch (state_) {
    case State::idle:
    case State::head:
      return read_head();
    case State::exchange:
      return drive_exchange();
    case State::discarding:
      return discard();
    case State::lingering:
      linger();
      return false;
    case State::ended:
      break;
  }
  return false;
}

void ServerConnection::watch() {
  bool read = false;
  bool write = unsent() != 0 || shutdown_wanted_;
  switch (state_) {
    case State::idle:
    case State::head:
      read = unsent() == 0;
      break;
    case State::exchange:
      read = (wants_body_ && exchange_->on_body) || (body_.done() && !early_data_);
      write = write || (wants_room_ && exchange_->on_room && exchange_->started);
      break;
    case State::discarding:
    case State::lingering:
      read = true;
      break;
    case State::ended:
      return;
  }
  const auto what = static_cast<Interest>((read ? SW_READABLE : 0) | (write ? SW_WRITABLE : 0));
  if (what != watched_) {
    if (watched_ == Interest::none) --core_.muted;
    if (what == Interest::none) ++core_.muted;
    watched_ = what;
    core_.watch(*this, what);
  }
  core_.set_alarm(*this);
}

std::optional<Clock::time_point> ServerConnection::next_time() const {
  if (exchange_ != nullptr) return exchange_->deadline;
  if (unsent() != 0) return sent_at_ + kMostUnsentTime;
  return limit_;
}

void ServerConnection::on_time(Clock::time_point now) {
  if (exchange_ != nullptr) {
    if (exchange_->deadline && *exchange_->deadline <= now) abort_exchange(Abort::deadline, http::kGatewayTimeout);
    return;
  }
  const std::optional<Clock::time_point> wanted = next_time();
  if (!wanted || *wanted > now) return;
  if (state_ == State::head) return reject(http::kRequestTimeout, "the head did not arrive in time", false, nullptr);
  end();
}

void ServerConnection::ask_to_close() {
  if (ended() || std::exchange(asked_to_close_, true)) return;
  if (state_ == State::idle && unsent() == 0) after_response();
  touch();
}

void ServerConnection::abort(Abort why) {
  if (ended()) return;
  if (exchange_ != nullptr) {
    if (why == Abort::client_gone) exchange_->started = true;  // nobody is there to be answered
    abort_exchange(why, why == Abort::stopped ? http::kUnavailable : 0);
  }
  end();
}

void ServerConnection::give_up_head() {
  reject(http::kRequestTimeout, "too many heads of this user were not complete (max_unfinished_heads)", false, nullptr);
  // What was sent arrives in any case, so no place is kept until the client closes.
  if (flush()) end();
}

void ServerConnection::end() {
  if (ended()) return;
  note_head(false);
  state_ = State::ended;
  core_.ended(*this);
}

// ---- requests ----

/// Whether a head has begun and is not complete.
void ServerConnection::note_head(bool unfinished) {
  if (std::exchange(head_unfinished_, unfinished) == unfinished) return;
  if (unfinished) {
    core_.head_begun(*this);
  } else {
    core_.head_over(*this);
  }
}

bool ServerConnection::read_head() {
  const Result<std::span<const std::byte>> bytes = stream_.peek();
  if (!bytes) {
    if (bytes.status() != Status::again) end();
    return false;
  }
  if (bytes->empty()) {  // no further request follows
    start_lingering();
    return false;
  }
  if (state_ == State::idle) limit_ = Clock::now() + core_.options().head_time;
  state_ = State::head;
  const std::size_t taken = head_.feed(text_of(*bytes));
  (void)stream_.consume(taken);
  if (head_.state() == http::HeadCollector::State::incomplete) {
    note_head(true);
    return true;
  }
  note_head(false);
  limit_.reset();
  if (head_.state() == http::HeadCollector::State::invalid) {
    const Error problem = head_.problem();
    reject(problem.code, problem.text, false, nullptr);
    return true;
  }
  const http::HeadLimits limits{core_.options().max_head, core_.options().max_fields};
  Result<http::Head> head = http::parse_request(head_.take(), limits);
  if (!head) {
    reject(head.error().code, head.error().text, false, nullptr);
  } else {
    begin(*std::move(head));
  }
  return true;
}

void ServerConnection::begin(http::Head head) {
  const Result<http::Framing> framing = http::request_framing(head);
  if (!framing) return reject(framing.error().code, framing.error().text, false, &head);
  body_ = http::BodyReader(*framing);
  close_ = !framing->keep;
  expects_continue_ = !head.http_1_0 && head.has_token("expect", "100-continue") && !body_.done();
  const ServerOptions& options = core_.options();
  std::optional<Clock::time_point> deadline;
  if (options.max_time.count() > 0) deadline = Clock::now() + options.max_time;
  if (head.has_field("slotwire-timeout")) {
    constexpr std::uint64_t kMost = 10'000'000'000;  // ms
    std::uint64_t left = 0;
    if (!http::parse_number(head.field("slotwire-timeout"), kMost, left))
      return reject(http::kBadRequest, "an invalid Slotwire-Timeout field", false, &head);
    const Clock::time_point given = Clock::now() + std::chrono::milliseconds(left);
    if (!deadline || given < *deadline) deadline = given;
  }
  if (framing->kind == BodyKind::length && framing->length > options.max_body)
    return reject(http::kContentTooLarge, "the body is longer than this server takes", false, &head);
  if (core_.requests >= options.max_requests)
    return reject(http::kUnavailable, "too many requests at one time", true, &head);
  hand_over(std::move(head), *framing, deadline);
}

void ServerConnection::hand_over(http::Head head, const http::Framing& framing,
                                 std::optional<Clock::time_point> deadline) {
  std::erase_if(head.fields, [](const Field& field) { return has_prefix(field.name, "slotwire-"); });
  auto state = std::make_unique<ExchangeState>();
  state->connection = this;
  state->mailbox = core_.mailbox();
  state->head = std::move(head);
  state->framing = framing;
  state->upgrade_to = body_.done() ? upgrade_of(state->head) : std::string_view();
  state->client = client_;
  state->deadline = deadline;
  exchange_ = state.get();
  state_ = State::exchange;
  wants_body_ = wants_room_ = early_data_ = upgraded_ = in_ended_ = out_ended_ = false;
  failed_ = Abort::none;
  ++core_.requests;
  struct Release {
    std::shared_ptr<Mailbox> mailbox;
    void operator()(Exchange* raw) const {
      std::shared_ptr<Exchange> owned(raw);
      // Whatever it has to tell its connection, it tells in the server's thread.
      if (!mailbox->here()) (void)mailbox->post([owned = std::move(owned)] {});
    }
  };
  const std::shared_ptr<Mailbox> mailbox = core_.mailbox();
  const ExchangePtr pointer(std::unique_ptr<Exchange>(new Exchange(std::move(state))).release(), Release{mailbox});
  core_.handler()(pointer);
}

void ServerConnection::reject(unsigned status, std::string_view text, bool unprocessed, const http::Head* head) {
  note_head(false);
  const std::string body = text.empty() ? std::string() : std::string(text) + "\n";
  // After a head that was not understood nothing that follows can be.
  const bool understood = unprocessed || status == http::kContentTooLarge;
  if (!understood || (expects_continue_ && body_.data_left() != 0)) close_ = true;
  close_ = close_ || asked_to_close_ || core_.is_draining();
  http::append_status_line(out_, status);
  if (unprocessed) http::append_field(out_, "slotwire-unprocessed", "1");
  http::append_field(out_, "content-type", "text/plain");
  http::append_field(out_, "content-length", body.size());
  if (close_) http::append_field(out_, "connection", "close");
  out_ += http::kEndOfHead;
  const bool has_body = head == nullptr || head->method != "HEAD";
  if (has_body) out_ += body;
  if (core_.options().on_finished) {
    const std::string client = text_of(client_);
    core_.options().on_finished({.method = head == nullptr ? std::string_view("-") : head->method,
                                 .target = head == nullptr ? std::string_view("-") : head->target,
                                 .client = client,
                                 .status = status,
                                 .abort = understood ? Abort::none : Abort::invalid,
                                 .body_in = 0,
                                 .body_out = has_body ? body.size() : 0,
                                 .time = {},
                                 .problem = text});
  }
  if (!understood) body_ = http::BodyReader();
  after_response();
}

/// The next bytes of the request's body; framing before them is taken.
ServerConnection::Pumped ServerConnection::pump(std::span<const std::byte>& data) {
  while (true) {
    if (body_.invalid()) return Pumped::invalid;
    if (body_.done()) return Pumped::end;
    const Result<std::span<const std::byte>> bytes = stream_.peek();
    if (!bytes) return bytes.status() == Status::again ? Pumped::again : Pumped::gone;
    if (bytes->empty()) return body_.end_of_stream() ? Pumped::end : Pumped::cut_off;
    const std::size_t framing = body_.skip(text_of(*bytes));
    if (framing != 0) {
      (void)stream_.consume(framing);
      continue;
    }
    data = bytes->first(static_cast<std::size_t>(std::min<std::uint64_t>(bytes->size(), body_.data_left())));
    return Pumped::data;
  }
}

Result<std::span<const std::byte>> ServerConnection::peek_body() {
  if (failed_ != Abort::none) return over();
  if (std::exchange(expects_continue_, false) && !exchange().started) {
    out_ += kGoOn;
    touch();
  }
  std::span<const std::byte> data;
  switch (pump(data)) {
    case Pumped::data:
      if (exchange().framing.kind == BodyKind::chunked && !upgraded_ &&
          exchange().body_in + body_.data_left() > core_.options().max_body) {
        fail_later(Abort::invalid, http::kContentTooLarge);
        return Error{Status::too_large, "the body is longer than this server takes", http::kContentTooLarge};
      }
      return data;
    case Pumped::end:
      if (upgraded_) in_ended_ = true;
      touch();
      return std::span<const std::byte>();
    case Pumped::again:
      wants_body_ = true;
      touch();
      return Error{Status::again, {}, 0};
    case Pumped::invalid:
      fail_later(Abort::invalid, http::kBadRequest);
      return Error{Status::broken, std::string("the body is invalid: ") + body_.reason(), http::kBadRequest};
    case Pumped::cut_off:
    case Pumped::gone:
      break;
  }
  fail_later(Abort::client_gone);
  return Error{Status::peer_closed, "the client left before the end of the body", 0};
}

void ServerConnection::consume_body(std::size_t bytes) {
  if (bytes == 0 || failed_ != Abort::none) return;
  if (!stream_.consume(bytes)) return fail_later(Abort::client_gone);
  body_.take(bytes);
  exchange().body_in += bytes;
}

/// Calls the exchange's callbacks.
bool ServerConnection::drive_exchange() {
  ExchangeState* const current = exchange_;
  const auto call = [&](std::function<void()> ExchangeState::*which) {
    std::function<void()> callback = std::exchange(current->*which, {});
    callback();
    if (exchange_ == current && !(current->*which)) current->*which = std::move(callback);
    return true;
  };
  if (wants_body_ && current->on_body) {
    std::span<const std::byte> data;
    // A client that waits for 100 is asked by peek_body().
    if (expects_continue_ || pump(data) != Pumped::again) {
      wants_body_ = false;
      return call(&ExchangeState::on_body);
    }
  }
  if (wants_room_ && current->on_room && current->started && loaned_ == 0) {
    const Result<std::span<std::byte>> room = stream_.loan(kWorthWaking);
    if (room) (void)stream_.commit(0);
    if (room.status() != Status::again) {
      wants_room_ = false;
      return call(&ExchangeState::on_room);
    }
  }
  if (body_.done() && !early_data_ && !upgraded_) {
    const Result<std::span<const std::byte>> bytes = stream_.peek();
    early_data_ = bytes && !bytes->empty();
  }
  if (upgraded_ && in_ended_ && shut_down_) {
    complete(*current);
    return true;
  }
  return false;
}

/// Takes what is left of a request that was answered before it had arrived.
bool ServerConnection::discard() {
  std::span<const std::byte> data;
  switch (pump(data)) {
    case Pumped::data:
      discarded_ += data.size();
      (void)stream_.consume(data.size());
      body_.take(data.size());
      if (discarded_ > kMostDiscarded) start_lingering();
      return true;
    case Pumped::end:
      after_response();
      return true;
    case Pumped::again:
      return false;
    default:
      start_lingering();
      return true;
  }
}

void ServerConnection::linger() {
  for (int i = 0; i < kStepsAtOnce; ++i) {
    const Result<std::span<const std::byte>> bytes = stream_.peek();
    if (bytes.status() == Status::again) return;
    if (!bytes || bytes->empty()) {
      if (unsent() == 0 && !shutdown_wanted_) end();
      return;
    }
    (void)stream_.consume(bytes->size());
  }
  touch();
}

// ---- responses ----

Result<void> ServerConnection::check_response(unsigned status, const FieldList& fields) const {
  if (exchange_->started) return invalid("the exchange has a response already");
  constexpr unsigned kLeast = 200;
  constexpr unsigned kMost = 599;
  if (status < kLeast || status > kMost) return invalid("a response's status is 200 to 599");
  for (const Field& field : fields) {
    if (!http::is_valid_name(field.name) || !http::is_valid_value(field.value))
      return invalid("the field '" + std::string(field.name) + "' is invalid");
    if (is_ours(field.name)) return invalid("the field '" + std::string(field.name) + "' is set by the library");
  }
  return {};
}

void ServerConnection::append_head(ExchangeState& exchange, unsigned status, const FieldList& fields) {
  exchange.started = true;
  exchange.status = status;
  http::append_status_line(out_, status);
  for (const Field& field : fields) http::append_field(out_, field.name, field.value);
  // A client that waits for 100 may send its body or not: what follows would be understood in two ways.
  close_ =
      close_ || asked_to_close_ || core_.is_draining() || expects_continue_ || exchange.out_kind == BodyKind::until_end;
  if (exchange.out_kind == BodyKind::chunked) http::append_field(out_, "transfer-encoding", "chunked");
  if (close_) http::append_field(out_, "connection", "close");
  // The request that is being answered is over for whoever counts.
  if (const std::size_t credit = core_.credit(); credit <= kMostCredit)
    http::append_field(out_, "slotwire-credit", std::uint64_t{credit});
}

Result<void> ServerConnection::start(unsigned status, const FieldList& fields, std::optional<std::uint64_t> length) {
  if (failed_ != Abort::none) return over();
  if (Result<void> checked = check_response(status, fields); !checked) return checked;
  ExchangeState& x = exchange();
  x.out_left = 0;
  if (has_no_body(status) || x.head.method == "HEAD") {
    x.out_kind = BodyKind::none;
  } else if (length) {
    x.out_kind = BodyKind::length;
    x.out_left = *length;
  } else {
    x.out_kind = x.head.http_1_0 ? BodyKind::until_end : BodyKind::chunked;
  }
  append_head(x, status, fields);
  if (length && status != http::kNoContent) http::append_field(out_, "content-length", *length);
  out_ += http::kEndOfHead;
  touch();
  return {};
}

/// Sends what waits and as much of `body` as fits into the same record, so that the client is woken once for both.
/// Returns the rest of the body.
std::span<const std::byte> ServerConnection::send_with_head(std::span<const std::byte> body) {
  const std::string_view head = std::string_view(out_).substr(out_at_);
  if (loaned_ != 0 || head.empty() || shutdown_wanted_) return body;
  const Result<std::span<std::byte>> room = stream_.loan(head.size() + 1);
  if (!room) return body;
  if (room->size() <= head.size()) {
    (void)stream_.commit(0);
    return body;
  }
  std::memcpy(room->data(), head.data(), head.size());
  const std::size_t taken = std::min(room->size() - head.size(), body.size());
  std::memcpy(room->data() + head.size(), body.data(), taken);
  if (!stream_.commit(head.size() + taken)) return body;
  out_.clear();
  out_at_ = 0;
  return body.subspan(taken);
}

Result<void> ServerConnection::respond(unsigned status, const FieldList& fields, Data body) {
  if (body.size() > core_.options().max_unsent)
    return Error{Status::too_large,
                 "the body is longer than is kept (ServerOptions::max_unsent): write it piece by piece", 0};
  if (Result<void> started = start(status, fields, body.size()); !started) return started;
  ExchangeState& x = exchange();
  std::span<const std::byte> left(body.data(), x.out_kind == BodyKind::none ? 0 : body.size());
  x.out_left = 0;
  x.body_out = left.size();
  if (left.size() > kShortHead) left = send_with_head(left);
  if (left.size() > kShortHead && flush()) {
    while (!left.empty()) {
      const Result<std::size_t> done = stream_.write(left);
      if (!done) break;
      left = left.subspan(*done);
    }
  }
  out_ += text_of(left);
  (void)flush();
  complete(x);
  return {};
}

Result<void> ServerConnection::refuse() {
  if (failed_ != Abort::none) return over();
  ExchangeState& x = exchange();
  if (x.started) return invalid("the exchange has a response already");
  x.started = true;
  x.status = http::kUnavailable;
  close_ = close_ || asked_to_close_ || core_.is_draining() || expects_continue_;
  http::append_status_line(out_, http::kUnavailable);
  http::append_field(out_, "slotwire-unprocessed", "1");
  http::append_field(out_, "content-length", "0");
  if (close_) http::append_field(out_, "connection", "close");
  out_ += http::kEndOfHead;
  complete(x);
  return {};
}

Result<void> ServerConnection::upgrade(std::string_view protocol, const FieldList& fields) {
  if (failed_ != Abort::none) return over();
  ExchangeState& x = exchange();
  if (x.upgrade_to.empty()) return invalid("the client did not ask for another protocol");
  if (!http::is_valid_value(protocol) || protocol.empty()) return invalid("the name of the protocol is invalid");
  if (Result<void> checked = check_response(http::kBadRequest, fields); !checked) return checked;
  x.started = true;
  x.status = http::kSwitchingProtocols;
  x.out_kind = BodyKind::until_end;
  http::append_status_line(out_, http::kSwitchingProtocols);
  for (const Field& field : fields) http::append_field(out_, field.name, field.value);
  http::append_field(out_, "connection", "upgrade");
  http::append_field(out_, "upgrade", protocol);
  out_ += http::kEndOfHead;
  upgraded_ = close_ = true;
  x.deadline.reset();  // it was for the answer
  body_ = http::BodyReader({.kind = BodyKind::until_end});
  touch();
  return {};
}

/// Writes what the client has not been given yet. False: there is no room for all of it.
bool ServerConnection::flush() {
  if (loaned_ != 0) return false;
  while (unsent() != 0) {
    const Result<std::size_t> done = stream_.write(std::string_view(out_).substr(out_at_));
    if (!done) return false;
    out_at_ += *done;
    if (unsent() != 0) sent_at_ = Clock::now();
  }
  out_.clear();
  out_at_ = 0;
  constexpr std::size_t kKeep = std::size_t{64} << 10U;
  if (out_.capacity() > kKeep) out_.shrink_to_fit();
  if (shutdown_wanted_ && !shut_down_) {
    const Result<void> done = stream_.shutdown();
    if (done.status() == Status::again) return false;
    shutdown_wanted_ = false;
    shut_down_ = true;
    if (state_ == State::lingering) limit_ = Clock::now() + core_.options().linger_time;
  }
  return true;
}

Result<std::span<std::byte>> ServerConnection::loan(std::size_t least) {
  if (failed_ != Abort::none) return over();
  ExchangeState& x = exchange();
  if (!x.started) return invalid("a response begins with start()");
  if (loaned_ != 0) return Error{Status::busy, "there is a loan already", 0};
  if (x.out_kind == BodyKind::none) return std::span<std::byte>();
  if (x.out_kind == BodyKind::length && x.out_left == 0) return invalid("the body is complete");
  const auto again = [&] {
    wants_room_ = true;
    touch();
    return Error{Status::again, {}, 0};
  };
  if (unsent() > kShortHead && !flush()) return again();
  const std::size_t before = unsent();
  const std::size_t line = x.out_kind == BodyKind::chunked ? http::kChunkLine : 0;
  const std::size_t after = x.out_kind == BodyKind::chunked ? http::kEndOfChunk.size() : 0;
  const Result<std::span<std::byte>> room = stream_.loan(before + line + std::max<std::size_t>(least, 1) + after);
  if (room.status() == Status::again) return again();
  if (!room) {
    fail_later(Abort::client_gone);
    return room.error();
  }
  if (room->size() <= before + line + after) {  // a small ring: the head goes first
    (void)stream_.commit(0);
    if (before == 0 || !flush()) return again();
    return loan(least);
  }
  std::memcpy(room->data(), out_.data() + out_at_, before);
  loan_ = *room;
  loan_offset_ = before + line;
  std::size_t size = room->size() - before - line - after;
  if (x.out_kind == BodyKind::length) size = static_cast<std::size_t>(std::min<std::uint64_t>(size, x.out_left));
  size = std::min(size, http::kMostChunk);
  loaned_ = size;
  return room->subspan(loan_offset_, size);
}

Result<void> ServerConnection::commit(std::size_t bytes) {
  if (exchange().out_kind == BodyKind::none) return {};
  if (loaned_ == 0) return invalid("there is no loan");
  if (bytes > loaned_) return invalid("more is committed than was loaned");
  loaned_ = 0;
  if (bytes == 0) {
    (void)stream_.commit(0);
    return {};
  }
  ExchangeState& x = exchange();
  std::size_t size = loan_offset_ + bytes;
  if (x.out_kind == BodyKind::chunked) {
    const auto line = http::chunk_line(bytes);
    std::memcpy(loan_.data() + loan_offset_ - line.size(), line.data(), line.size());
    std::memcpy(loan_.data() + size, http::kEndOfChunk.data(), http::kEndOfChunk.size());
    size += http::kEndOfChunk.size();
  } else if (x.out_kind == BodyKind::length) {
    x.out_left -= bytes;
  }
  x.body_out += bytes;
  out_.clear();
  out_at_ = 0;
  const Result<void> sent = stream_.commit(size);
  if (!sent) fail_later(Abort::client_gone);
  return sent;
}

Result<std::size_t> ServerConnection::write(Data data) {
  std::span<const std::byte> left(data.data(), data.size());
  if (failed_ != Abort::none) return over();
  if (exchange().started && exchange().out_kind == BodyKind::none) return left.size();
  while (!left.empty()) {
    const Result<std::span<std::byte>> room = loan(std::min(left.size(), kWorthWaking));
    if (!room) {
      if (room.status() == Status::again && left.size() != data.size()) break;
      return room.error();
    }
    const std::size_t n = std::min(room->size(), left.size());
    std::memcpy(room->data(), left.data(), n);
    if (const Result<void> sent = commit(n); !sent) return sent.error();
    left = left.subspan(n);
  }
  return data.size() - left.size();
}

Result<void> ServerConnection::finish() {
  if (failed_ != Abort::none) return over();
  ExchangeState& x = exchange();
  if (!x.started) return invalid("a response begins with start()");
  if (loaned_ != 0) return Error{Status::busy, "there is a loan", 0};
  if (upgraded_) {
    shutdown_wanted_ = !shut_down_;
    touch();
    return {};
  }
  if (x.out_left != 0) {
    fail_later(Abort::invalid);
    return invalid("the body is " + std::to_string(x.out_left) + " bytes shorter than was announced");
  }
  if (x.out_kind == BodyKind::chunked) out_ += http::kLastChunk;
  (void)flush();
  complete(x);
  return {};
}

void ServerConnection::break_off() {
  exchange().started = true;
  fail_later(Abort::invalid);
}

void ServerConnection::dropped() {
  if (loaned_ != 0) (void)commit(0);
  if (failed_ != Abort::none || exchange().started) {
    report(exchange());
    detach();
    end();
    return;
  }
  (void)respond(http::kInternalError, {{"content-type", "text/plain"}}, "the request was not answered\n");
}

void ServerConnection::fail_later(Abort why, unsigned status) {
  failed_ = why;
  failed_status_ = status;
  exchange().abort = why;
  touch();
}

// ---- ends ----

void ServerConnection::report(ExchangeState& x) {
  const auto took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - x.begun);
  const std::string_view trace = trace_of(x.head.field("traceparent"));
  core_.count(took, x.status >= 500 || x.abort != Abort::none, trace);
  if (!core_.options().on_finished) return;
  const std::string client = text_of(x.client);
  core_.options().on_finished({.method = x.head.method,
                               .target = x.head.target,
                               .client = client,
                               .status = x.status,
                               .abort = x.abort,
                               .body_in = x.body_in,
                               .body_out = x.body_out,
                               .time = took,
                               .problem = {},
                               .trace = trace});
}

void ServerConnection::detach() {
  exchange_->connection = nullptr;
  exchange_ = nullptr;
  --core_.requests;
  wants_body_ = wants_room_ = false;
  failed_ = Abort::none;
}

/// The response is written as far as the exchange is concerned.
void ServerConnection::complete(ExchangeState& x) {
  report(x);
  detach();
  after_response();
  touch();
  // What the callbacks hold may be the last that holds the exchange: they go last.
  const auto on_body = std::exchange(x.on_body, {});
  const auto on_room = std::exchange(x.on_room, {});
  const auto on_abort = std::exchange(x.on_abort, {});
}

void ServerConnection::abort_exchange(Abort why, unsigned status) {
  ExchangeState& x = exchange();
  x.abort = why;
  failed_ = Abort::none;
  if (loaned_ != 0) (void)commit(0);
  const bool answer = !x.started && status != 0;
  const auto on_body = std::exchange(x.on_body, {});
  const auto on_room = std::exchange(x.on_room, {});
  const auto on_abort = std::exchange(x.on_abort, {});
  if (answer) {
    close_ = close_ || why == Abort::invalid || why == Abort::stopped;
    const std::string text = std::string(name(why)) + "\n";
    (void)start(status, {{"content-type", "text/plain"}}, text.size());
    if (x.out_kind != BodyKind::none) out_ += text;
    x.out_left = 0;
    x.body_out = text.size();
    (void)flush();
    if (why == Abort::invalid) body_ = http::BodyReader();
  }
  report(x);
  detach();
  if (answer) {
    after_response();
    touch();
  } else {
    end();
  }
  if (on_abort) on_abort(why);
}

/// What comes after a response: the rest of its request, the end, or the next request.
void ServerConnection::after_response() {
  limit_.reset();
  if (unsent() != 0) sent_at_ = Clock::now();
  if (close_) return start_lingering();
  if (!body_.done()) {
    if (state_ != State::discarding) {
      discarded_ = 0;
      state_ = State::discarding;
      limit_ = Clock::now() + kMostUnsentTime;
    }
    return;
  }
  expects_continue_ = false;
  state_ = State::idle;
  idle_since_ = Clock::now();
  if (asked_to_close_) {
    if (!std::exchange(notice_sent_, true)) out_ += kNotice;
    // Its place is needed. Those who stay while the server drains are ended by the drain time.
    if (!core_.is_draining()) limit_ = idle_since_ + core_.options().linger_time;
  }
  touch();
}

void ServerConnection::start_lingering() {
  state_ = State::lingering;
  shutdown_wanted_ = !shut_down_;
  limit_ = Clock::now() + core_.options().linger_time;
  touch();
}

}  // namespace slotwire::web::detail
