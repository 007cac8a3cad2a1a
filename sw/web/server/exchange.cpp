// Exchange, as its owner sees it: everything that touches the connection is the connection's.
#include <algorithm>
#include <cstring>
#include <utility>

#include "web/server/exchange_state.hpp"
#include "web/server/mailbox.hpp"
#include "web/server/server_connection.hpp"

namespace slotwire::web {
namespace {

Error over(const detail::ExchangeState& state) {
  return Error{Status::cancelled, "the exchange is over: " + std::string(name(state.abort)), 0};
}

/// The state outlives the call, though the exchange may be over by it.
Status noted(detail::ExchangeState& state, const Result<void>& result) {
  if (!result) state.problem = result.error().text;
  return result.status();
}

}  // namespace

std::string_view name(Abort why) {
  switch (why) {
    case Abort::none:
      return "not aborted";
    case Abort::client_gone:
      return "the client is gone";
    case Abort::deadline:
      return "the time for the request is over";
    case Abort::stopped:
      return "the server was stopped";
    case Abort::invalid:
      break;
  }
  return "the request or its response was broken off";
}

bool Poster::post(std::function<void()> work) const {
  return mailbox_->post(std::move(work));
}

Exchange::Exchange(std::unique_ptr<detail::ExchangeState> state) : state_(std::move(state)) {}
Exchange::~Exchange() {
  if (state_->connection != nullptr) state_->connection->dropped();
}

std::string_view Exchange::method() const {
  return state_->head.method;
}
std::string_view Exchange::target() const {
  return state_->head.target;
}
std::string_view Exchange::path() const {
  std::string_view path = state_->head.target;
  if (!path.starts_with('/') && path != "*") {
    const std::size_t slash = path.find('/', path.find("://") + 3);
    path = slash == std::string_view::npos ? std::string_view("/") : path.substr(slash);
  }
  return path.substr(0, path.find('?'));
}
std::span<const Field> Exchange::fields() const {
  return state_->head.fields;
}
std::string_view Exchange::field(std::string_view name) const {
  return state_->head.field(name);
}
std::optional<std::uint64_t> Exchange::content_length() const {
  if (state_->framing.kind == http::BodyKind::chunked) return std::nullopt;
  return state_->framing.length;
}
bool Exchange::has_body() const {
  return state_->framing.kind == http::BodyKind::chunked || state_->framing.length != 0;
}
std::optional<std::chrono::microseconds> Exchange::time_left() const {
  if (!state_->deadline) return std::nullopt;
  return std::chrono::duration_cast<std::chrono::microseconds>(*state_->deadline - detail::Clock::now());
}
const Peer& Exchange::client() const {
  return state_->client;
}
std::string_view Exchange::upgrade_to() const {
  return state_->upgrade_to;
}

Result<std::span<const std::byte>> Exchange::peek_body() {
  if (is_over()) return over(*state_);
  return state_->connection->peek_body();
}
void Exchange::consume_body(std::size_t bytes) {
  if (!is_over()) state_->connection->consume_body(bytes);
}
Result<std::size_t> Exchange::read_body(std::span<std::byte> into) {
  const Result<std::span<const std::byte>> data = peek_body();
  if (!data) return data.error();
  const std::size_t n = std::min(data->size(), into.size());
  if (n != 0) std::memcpy(into.data(), data->data(), n);
  consume_body(n);
  return n;
}
void Exchange::on_body(std::function<void()> callback) {
  if (is_over()) return;
  state_->on_body = std::move(callback);
  state_->connection->want_body();
}

void Exchange::collect_body(std::size_t limit, std::function<void(Result<std::string>)> done) {
  struct Collected {
    std::string text;
    std::function<void(Result<std::string>)> done;
  };
  auto collected = std::make_shared<Collected>(Collected{{}, std::move(done)});
  const auto collect = [this, limit, collected] {
    while (collected->done) {
      const Result<std::span<const std::byte>> data = peek_body();
      if (data && !data->empty()) {
        if (data->size() > limit - collected->text.size()) {
          return std::exchange(collected->done, {})(
              Error{Status::too_large, "the body is longer than " + std::to_string(limit) + " bytes", 0});
        }
        collected->text.append(reinterpret_cast<const char*>(data->data()), data->size());
        consume_body(data->size());
        continue;
      }
      if (data.status() == Status::ok) std::exchange(collected->done, {})(std::move(collected->text));
      return;  // again: on_body(); over: nobody waits
    }
  };
  on_body(collect);
  collect();
}

Status Exchange::respond(unsigned status, const FieldList& fields, Data body) {
  if (is_over()) return noted(*state_, over(*state_));
  return noted(*state_, state_->connection->respond(status, fields, body));
}
Status Exchange::refuse() {
  if (is_over()) return noted(*state_, over(*state_));
  return noted(*state_, state_->connection->refuse());
}
Status Exchange::start(unsigned status, const FieldList& fields, std::optional<std::uint64_t> length) {
  if (is_over()) return noted(*state_, over(*state_));
  return noted(*state_, state_->connection->start(status, fields, length));
}
Result<std::size_t> Exchange::write(Data data) {
  if (is_over()) return over(*state_);
  return state_->connection->write(data);
}
Result<std::span<std::byte>> Exchange::loan(std::size_t least) {
  if (is_over()) return over(*state_);
  return state_->connection->loan(least);
}
Status Exchange::commit(std::size_t bytes) {
  if (is_over()) return noted(*state_, over(*state_));
  return noted(*state_, state_->connection->commit(bytes));
}
void Exchange::on_room(std::function<void()> callback) {
  if (is_over()) return;
  state_->on_room = std::move(callback);
  state_->connection->want_room();
}
Status Exchange::finish() {
  if (is_over()) return noted(*state_, over(*state_));
  return noted(*state_, state_->connection->finish());
}
Status Exchange::upgrade(std::string_view protocol, const FieldList& fields) {
  if (is_over()) return noted(*state_, over(*state_));
  return noted(*state_, state_->connection->upgrade(protocol, fields));
}
const std::string& Exchange::problem() const {
  return state_->problem;
}
bool Exchange::is_started() const {
  return state_->started;
}
void Exchange::break_off() {
  if (!is_over()) state_->connection->break_off();
}
void Exchange::on_abort(std::function<void(Abort)> callback) {
  if (is_over()) return;
  state_->on_abort = std::move(callback);
}
Abort Exchange::aborted() const {
  return state_->abort;
}
bool Exchange::is_over() const {
  return state_->connection == nullptr;
}
Poster Exchange::poster() const {
  return Poster(state_->mailbox);
}

}  // namespace slotwire::web
