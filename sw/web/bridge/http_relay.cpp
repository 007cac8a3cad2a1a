#include "web/bridge/http_relay.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <vector>

#include "web/http/text.hpp"

namespace slotwire::web::bridge {
namespace {

using http::BodyKind;

constexpr std::size_t kMostDirect = std::size_t{1} << 20U;

/// Fields that are written anew or concern the bridge alone.
bool is_replaced(std::string_view name) {
  return equal_names(name, "content-length") || equal_names(name, "expect");
}

bool is_hop_by_hop_of(const Exchange& x, std::string_view name) {
  // What a Connection field names concerns the web server and this bridge.
  for (const Field& field : x.fields()) {
    if (!equal_names(field.name, "connection") || http::is_end_to_end(name)) continue;
    std::string_view rest = field.value;
    while (!rest.empty()) {
      const std::size_t comma = rest.find(',');
      std::string_view token = rest.substr(0, comma);
      while (!token.empty() && (token.front() == ' ' || token.front() == '\t')) token.remove_prefix(1);
      while (!token.empty() && (token.back() == ' ' || token.back() == '\t')) token.remove_suffix(1);
      if (equal_names(token, name)) return true;
      rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    }
  }
  static const http::Head kNone;
  return http::is_hop_by_hop(kNone, name);
}

std::vector<Field> fields_to_pass(const http::Head& head) {
  std::vector<Field> fields;
  for (const Field& field : head.fields) {
    constexpr std::string_view kOurs = "slotwire-";
    const bool ours = field.name.size() >= kOurs.size() && equal_names(field.name.substr(0, kOurs.size()), kOurs);
    if (!ours && !is_replaced(field.name) && !http::is_hop_by_hop(head, field.name)) fields.push_back(field);
  }
  return fields;
}

}  // namespace

HttpRelay::HttpRelay(Bridge& bridge, Application& application, Request request)
    : Relay(bridge, application, std::move(request)), limits_(bridge.options().head), head_(limits_.bytes) {}

void HttpRelay::begin() {
  const Exchange& x = exchange();
  text_ += x.method();
  text_ += ' ';
  text_ += x.target();
  text_ += " HTTP/1.1\r\n";
  for (const Field& field : x.fields()) {
    if (is_replaced(field.name) || is_hop_by_hop_of(x, field.name)) continue;
    http::append_field(text_, field.name, field.value);
  }
  const std::optional<std::uint64_t> length = x.content_length();
  chunked_request_ = !length;
  if (chunked_request_) http::append_field(text_, "Transfer-Encoding", "chunked");
  if (length && !x.field("content-length").empty()) http::append_field(text_, "Content-Length", *length);
  if (!x.upgrade_to().empty()) {
    http::append_field(text_, "Connection", "upgrade");
    http::append_field(text_, "Upgrade", x.upgrade_to());
  }
  text_ += http::kEndOfHead;
  body_sent_ = !x.has_body();
}

void HttpRelay::frame_piece(std::size_t bytes) {
  piece_left_ = std::min(bytes, http::kMostChunk);
  if (!chunked_request_ || spliced_) return;
  const auto line = http::chunk_line(piece_left_);
  text_.append(line.data(), line.size());
}

void HttpRelay::end_piece() {
  if (chunked_request_ && !spliced_) text_ += http::kEndOfChunk;
}

void HttpRelay::end_body() {
  if (spliced_) {
    ::shutdown(fd(), SHUT_WR);
    out_over_ = true;
    check_end();
  } else if (chunked_request_) {
    text_ += http::kLastChunk;
  }
}

bool HttpRelay::read_head() {
  while (!rest().empty()) {
    take_rest(head_.feed(rest()));
    if (head_.state() == http::HeadCollector::State::invalid) {
      fail(http::kBadGateway, "its response is invalid: " + head_.problem().text);
      return false;
    }
    if (head_.state() == http::HeadCollector::State::incomplete) return false;
    Result<http::Head> head = http::parse_response(head_.take(), limits_);
    if (!head) {
      fail(http::kBadGateway, "its response is invalid: " + head.error().text);
      return false;
    }
    constexpr unsigned kFirstFinal = 200;
    if (head->status == http::kSwitchingProtocols) {
      splice(*head);
      return !is_over();
    }
    if (head->status < kFirstFinal) continue;
    begin_response(*head);
    return !is_over();
  }
  return false;
}

void HttpRelay::begin_response(const http::Head& head) {
  const Result<http::Framing> framing = http::response_framing(head, exchange().method());
  if (!framing) return fail(http::kBadGateway, "its response is invalid: " + framing.error().text);
  const std::vector<Field> fields = fields_to_pass(head);
  std::optional<std::uint64_t> length;
  if (framing->has_length) length = framing->length;
  const Status status = exchange().start(head.status, fields, length);
  if (status == Status::invalid) return fail(http::kBadGateway, "its response is invalid: " + exchange().problem());
  body_ = http::BodyReader(*framing);
  keep_ = framing->keep;
  in_body_ = true;
}

void HttpRelay::splice(const http::Head& head) {
  if (exchange().upgrade_to().empty()) return fail(http::kBadGateway, "it changed the protocol unasked");
  const Status status = exchange().upgrade(head.field("upgrade"), fields_to_pass(head));
  if (status == Status::invalid) return fail(http::kBadGateway, "its response is invalid: " + exchange().problem());
  spliced_ = in_body_ = true;
  body_sent_ = false;
  body_ = http::BodyReader({.kind = BodyKind::until_end});
}

void HttpRelay::understand() {
  if (!in_body_ && !read_head()) return;
  while (!body_.done() && !rest().empty()) {
    take_rest(body_.skip(rest()));
    if (body_.invalid()) return fail(http::kBadGateway, std::string("its response is invalid: ") + body_.reason());
    if (body_.done() || rest().empty()) break;
    const std::size_t most = static_cast<std::size_t>(std::min<std::uint64_t>(rest().size(), body_.data_left()));
    const std::size_t given = give(rest().substr(0, most));
    body_.take(given);
    take_rest(given);
    if (given < most) return;
  }
  if (body_.done()) finish();
}

std::size_t HttpRelay::direct_bytes() const {
  if (!in_body_ || in_over_ || body_.kind() == BodyKind::chunked) return 0;
  return static_cast<std::size_t>(std::min<std::uint64_t>(body_.data_left(), kMostDirect));
}

void HttpRelay::took_direct(std::size_t bytes) {
  body_.take(bytes);
  if (body_.done()) finish();
}

void HttpRelay::stream_ended() {
  if (spliced_) {
    if (in_over_) return;
    in_over_ = true;
    exchange().finish();
    return check_end();
  }
  if (!in_body_) return fail(http::kBadGateway, "it closed the connection within the head of its response");
  if (body_.end_of_stream()) return finish();
  fail(http::kBadGateway, "it closed the connection within its response");
}

/// Both directions of an upgraded connection have ended.
void HttpRelay::check_end() {
  if (in_over_ && out_over_) end_splice();
}

}  // namespace slotwire::web::bridge
