#include "web/bridge/fastcgi_relay.hpp"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "web/http/text.hpp"

namespace slotwire::web::bridge {
namespace {

using fastcgi::Type;

constexpr std::size_t kEndContent = 8;
constexpr std::size_t kProtocolStatus = 4;  ///< its place in the last record
constexpr char kOverloaded = 2;

}  // namespace

FastCgiRelay::FastCgiRelay(Bridge& bridge, Application& application, Request request)
    : Relay(bridge, application, std::move(request)),
      limits_(bridge.options().head),
      script_(bridge.options().script) {}

void FastCgiRelay::begin() {
  // Looked for anew: it may have waited, and files change meanwhile.
  const fastcgi::Script script = fastcgi::find_script(exchange().target(), script_);
  if (script.status != 0) {
    return fail(script.status,
                script.problem.empty() ? std::string("the script is not there any more") : script.problem);
  }
  fastcgi::append_begin(text_);
  if (!fastcgi::append_params(text_, fastcgi::make_params(exchange(), script, script_, body_length())))
    fail(http::kHeadTooLarge, "a field of the request is longer than FastCGI can say");
}

void FastCgiRelay::frame_piece(std::size_t bytes) {
  piece_left_ = std::min(bytes, fastcgi::kMostContent);
  fastcgi::append_header(text_, Type::standard_input, piece_left_);
}

void FastCgiRelay::end_body() {
  fastcgi::append_header(text_, Type::standard_input, 0);
}

void FastCgiRelay::understand() {
  while (!is_over() && !rest().empty()) {
    if (padding_left_ != 0 && content_left_ == 0) {
      const std::size_t n = std::min(padding_left_, rest().size());
      padding_left_ -= n;
      take_rest(n);
    } else if (content_left_ != 0) {
      if (!read_content()) return;
    } else {
      const std::size_t n = std::min(fastcgi::kHeaderBytes - header_.size(), rest().size());
      header_ += rest().substr(0, n);
      take_rest(n);
      if (header_.size() < fastcgi::kHeaderBytes) return;
      if (!fastcgi::decode_header(header_, record_))
        return fail(http::kBadGateway, "it sent what is no FastCGI record of this request");
      header_.clear();
      content_left_ = record_.content;
      padding_left_ = record_.padding;
    }
  }
}

/// False: wait, or it is over.
bool FastCgiRelay::read_content() {
  const std::string_view content = rest().substr(0, std::min(content_left_, rest().size()));
  std::size_t taken = content.size();
  switch (record_.type) {
    case Type::standard_output:
      if (!in_body_) {
        taken = read_head(content);
      } else {
        taken = give_body(content);
      }
      break;
    case Type::standard_error:
      read_errors(content);
      break;
    case Type::end_request:
      end_ += content.substr(0, std::min(content.size(), kEndContent - end_.size()));
      break;
    default:
      break;
  }
  if (is_over()) return false;
  content_left_ -= taken;
  take_rest(taken);
  if (record_.type == Type::end_request && content_left_ == 0) {
    request_ended();
    return false;
  }
  return taken == content.size() || taken != 0;
}

std::size_t FastCgiRelay::give_body(std::string_view content) {
  if (!body_left_) return give(content);
  if (*body_left_ == 0) {
    if (!content.empty() && !std::exchange(said_excess_, true))
      note("application " + address() + " sends more than its Content-Length says; the rest is discarded (" +
           std::string(exchange().method()) + " " + std::string(exchange().target()) + ")");
    return content.size();
  }
  const std::size_t given = give(content.substr(0, std::min<std::uint64_t>(content.size(), *body_left_)));
  *body_left_ -= given;
  return given;
}

/// Takes bytes of the CGI head; lines may end with a line feed alone there.
std::size_t FastCgiRelay::read_head(std::string_view content) {
  std::size_t at = 0;
  while (at < content.size()) {
    const char c = content[at++];
    if (c == '\n' && !head_.ends_with('\r')) head_ += '\r';
    head_ += c;
    if (head_.size() > limits_.bytes) {
      fail(http::kBadGateway, "the head of its response is too large");
      return at;
    }
    if (c == '\n' && (head_.ends_with("\r\n\r\n") || head_ == "\r\n")) {
      in_body_ = true;
      begin_response();
      break;
    }
  }
  return at;
}

void FastCgiRelay::begin_response() {
  // Parsed as the head of a response, by the same rules.
  const std::string text = "HTTP/1.1 200 OK\r\n" + (head_ == "\r\n" ? std::string("\r\n") : head_);
  head_.clear();
  http::HeadCollector collector(limits_.bytes + 64);
  const std::size_t fed = collector.feed(text);
  if (collector.state() != http::HeadCollector::State::complete || fed != text.size())
    return fail(http::kBadGateway, "its response is invalid: " + collector.problem().text);
  const Result<http::Head> head = http::parse_response(collector.take(), limits_);
  if (!head) return fail(http::kBadGateway, "its response is invalid: " + head.error().text);
  std::uint64_t status = head->has_field("location") ? 302 : 200;
  if (const std::string_view given = head->field("status"); !given.empty()) {
    constexpr std::uint64_t kMost = 599;
    if (!http::parse_number(given.substr(0, given.find(' ')), kMost, status) || status < 200)
      return fail(http::kBadGateway, "its response has an invalid Status field");
  }
  std::vector<Field> fields;
  std::optional<std::uint64_t> length;
  for (const Field& field : head->fields) {
    if (equal_names(field.name, "content-length")) {
      std::uint64_t bytes = 0;
      if (length || !http::parse_number(field.value, std::numeric_limits<std::int64_t>::max(), bytes))
        return fail(http::kBadGateway, "its response has an invalid Content-Length field");
      length = bytes;
    } else if (!equal_names(field.name, "status") && !http::is_hop_by_hop(*head, field.name) &&
               !equal_names(field.name, "slotwire-unprocessed") && !equal_names(field.name, "slotwire-credit")) {
      fields.push_back(field);
    }
  }
  body_left_ = length;
  if (exchange().start(static_cast<unsigned>(status), fields, length) == Status::invalid)
    fail(http::kBadGateway, "its response is invalid: " + exchange().problem());
}

void FastCgiRelay::read_errors(std::string_view content) {
  for (const char c : content) {
    if (c == '\n') {
      note_errors();
    } else if (errors_.size() < most_of_error_line()) {
      errors_ += c;
    } else {
      ++errors_more_;
    }
  }
}

void FastCgiRelay::note_errors() {
  if (errors_.empty()) return;
  note_printed("application " + address() + " says", errors_, errors_more_);
  errors_.clear();
  errors_more_ = 0;
}

void FastCgiRelay::request_ended() {
  note_errors();
  if (end_.size() == kEndContent && end_[kProtocolStatus] == kOverloaded) return refuse("it has no child to spare");
  if (!in_body_) return fail(http::kBadGateway, "it ended the request without a response");
  finish();
}

void FastCgiRelay::stream_ended() {
  note_errors();
  fail(http::kBadGateway, "it closed the connection before the end of its response");
}

}  // namespace slotwire::web::bridge
