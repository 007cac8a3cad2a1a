#include "web/http/head.hpp"

#include <algorithm>
#include <array>
#include <boost/beast/http/basic_parser.hpp>
#include <charconv>
#include <limits>
#include <utility>

namespace slotwire::web::http {
namespace {

namespace beast = boost::beast;

Error refusal(std::uint16_t status, std::string why) {
  return Error{Status::broken, std::move(why), status};
}

/// Beast splits the head into its parts; what they mean is decided here, so that there is one place to read.
template <bool IsRequest>
class Splitter final : public beast::http::basic_parser<IsRequest> {
 public:
  Splitter(Head& head, const HeadLimits& limits) : head_(head), limits_(limits) {
    this->header_limit(static_cast<std::uint32_t>(limits.bytes));
    this->body_limit(boost::none);
  }
  bool too_many_fields() const { return too_many_; }

 private:
  using Text = beast::string_view;
  using Code = beast::error_code;
  static std::string_view view(Text text) { return {text.data(), text.size()}; }

  void on_request_impl(beast::http::verb, Text method, Text target, int version, Code&) override {
    head_.method = view(method);
    head_.target = view(target);
    head_.http_1_0 = version == kVersion10;
  }
  void on_response_impl(int code, Text reason, int version, Code&) override {
    head_.status = static_cast<unsigned>(code);
    head_.reason = view(reason);
    head_.http_1_0 = version == kVersion10;
  }
  void on_field_impl(beast::http::field, Text name, Text value, Code& error) override {
    if (head_.fields.size() == limits_.fields) {
      too_many_ = true;
      error = beast::http::error::header_limit;
      return;
    }
    head_.fields.push_back({view(name), view(value)});
  }
  void on_header_impl(Code&) override {}
  void on_body_init_impl(boost::optional<std::uint64_t> const&, Code&) override {}
  std::size_t on_body_impl(Text, Code&) override { return 0; }
  void on_chunk_header_impl(std::uint64_t, Text, Code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, Text, Code&) override { return 0; }
  void on_finish_impl(Code&) override {}

  static constexpr int kVersion10 = 10;
  Head& head_;
  const HeadLimits& limits_;
  bool too_many_ = false;
};

template <bool IsRequest>
Result<Head> split(std::vector<char> bytes, const HeadLimits& limits) {
  Head head;
  head.bytes = std::move(bytes);
  Splitter<IsRequest> splitter(head, limits);
  beast::error_code error;
  splitter.put(boost::asio::const_buffer(head.bytes.data(), head.bytes.size()), error);
  if (splitter.too_many_fields())
    return refusal(kHeadTooLarge, "a head with more than " + std::to_string(limits.fields) + " fields");
  if (error == beast::http::error::bad_version) return refusal(kVersionNotSupported, "a version other than HTTP/1.1");
  if (error && error != beast::http::error::need_more) return refusal(kBadRequest, error.message());
  if (!splitter.is_header_done()) return refusal(kBadRequest, "an incomplete head");
  return head;
}

bool is_visible(char c) {
  return static_cast<unsigned char>(c) > 0x20 && c != 0x7f;
}

bool is_host_character(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("-._:[]%~!$&'()*+,;=").find(c) != std::string_view::npos;
}

bool is_valid_target(const Head& head) {
  const std::string_view target = head.target;
  if (target.empty() || !std::all_of(target.begin(), target.end(), is_visible)) return false;
  if (target.find('#') != std::string_view::npos) return false;
  if (target == "*") return head.method == "OPTIONS";
  if (target.front() == '/') return true;
  return equal_names(target.substr(0, 7), "http://") || equal_names(target.substr(0, 8), "https://");
}

std::string_view trimmed(std::string_view text) {
  const auto space = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && space(text.front())) text.remove_prefix(1);
  while (!text.empty() && space(text.back())) text.remove_suffix(1);
  return text;
}

struct Lengths {
  std::size_t content_lengths = 0, transfer_encodings = 0;
  std::string_view content_length, transfer_encoding;
};

Lengths lengths_of(const Head& head) {
  Lengths found;
  for (const Field& field : head.fields) {
    if (equal_names(field.name, "content-length")) {
      ++found.content_lengths;
      found.content_length = field.value;
    } else if (equal_names(field.name, "transfer-encoding")) {
      ++found.transfer_encodings;
      found.transfer_encoding = field.value;
    }
  }
  return found;
}

/// What requests and responses have in common. BodyKind::none: neither field is there.
Result<Framing> explicit_framing(const Head& head) {
  const Lengths found = lengths_of(head);
  Framing framing;
  framing.keep = !head.http_1_0 && !head.has_token("connection", "close");
  if (found.transfer_encodings > 0) {
    if (found.content_lengths > 0) return refusal(kBadRequest, "both Content-Length and Transfer-Encoding");
    if (head.http_1_0) return refusal(kBadRequest, "Transfer-Encoding in HTTP/1.0");
    if (found.transfer_encodings > 1 || !equal_names(found.transfer_encoding, "chunked"))
      return refusal(kNotImplemented, "a Transfer-Encoding other than 'chunked'");
    framing.kind = BodyKind::chunked;
  } else if (found.content_lengths > 0) {
    if (found.content_lengths > 1) return refusal(kBadRequest, "more than one Content-Length field");
    constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (!parse_number(found.content_length, kMost, framing.length))
      return refusal(kBadRequest, "an invalid Content-Length field");
    framing.kind = BodyKind::length;
    framing.has_length = true;
  }
  return framing;
}

constexpr std::array<std::string_view, 10> kHopByHop{
    "connection",         "keep-alive",          "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    "proxy-authenticate", "proxy-authorization", "http2-settings"};

/// Whatever a Connection field says.
constexpr std::array<std::string_view, 8> kEndToEnd{"host",   "content-length", "content-type", "transfer-encoding",
                                                    "cookie", "authorization",  "forwarded",    "x-real-ip"};
constexpr std::string_view kForwarded = "x-forwarded-";

}  // namespace

std::size_t HeadCollector::feed(std::string_view piece) {
  std::size_t at = 0;
  while (at < piece.size() && state_ == State::incomplete) {
    if (bytes_.size() + at == most_) {
      refuse(kHeadTooLarge, "a head that is too large");
      break;
    }
    const char c = piece[at++];
    const bool after_cr = line_ == Line::after_cr || line_ == Line::after_last_cr;
    if (after_cr && c != '\n') {
      refuse(kBadRequest, "a carriage return without a line feed");
    } else if (after_cr) {
      if (line_ == Line::after_last_cr) state_ = State::complete;
      line_ = Line::start;
    } else if (c == '\r') {
      if (line_ == Line::first_byte) refuse(kBadRequest, "an empty line before the head");
      line_ = line_ == Line::start ? Line::after_last_cr : Line::after_cr;
    } else if (c == '\n') {
      refuse(kBadRequest, "a line feed without a carriage return");
    } else if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) {
      refuse(kBadRequest, "a control character in the head");
    } else if (line_ == Line::start && (c == ' ' || c == '\t')) {
      refuse(kBadRequest, "a folded line in the head");
    } else {
      line_ = Line::inside;
    }
  }
  bytes_.insert(bytes_.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(at));
  return at;
}

void HeadCollector::refuse(std::uint16_t status, const char* why) {
  state_ = State::invalid;
  status_ = status;
  why_ = why;
}

Error HeadCollector::problem() const {
  return refusal(status_, why_);
}

std::vector<char> HeadCollector::take() {
  state_ = State::incomplete;
  line_ = Line::first_byte;
  return std::exchange(bytes_, {});
}

std::string_view Head::field(std::string_view name) const {
  for (const Field& field : fields) {
    if (equal_names(field.name, name)) return field.value;
  }
  return {};
}

bool Head::has_field(std::string_view name) const {
  return std::any_of(fields.begin(), fields.end(), [&](const Field& field) { return equal_names(field.name, name); });
}

bool Head::has_token(std::string_view name, std::string_view token) const {
  for (const Field& field : fields) {
    if (!equal_names(field.name, name)) continue;
    std::string_view rest = field.value;
    while (!rest.empty()) {
      const std::size_t comma = rest.find(',');
      if (equal_names(trimmed(rest.substr(0, comma)), token)) return true;
      rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    }
  }
  return false;
}

Result<Head> parse_request(std::vector<char> bytes, const HeadLimits& limits) {
  Result<Head> head = split<true>(std::move(bytes), limits);
  if (!head) return head;
  if (head->method == "CONNECT") return refusal(kNotImplemented, "the method CONNECT");
  if (!is_valid_target(*head)) return refusal(kBadRequest, "an invalid target");
  return head;
}

Result<Head> parse_response(std::vector<char> bytes, const HeadLimits& limits) {
  Result<Head> head = split<false>(std::move(bytes), limits);
  constexpr unsigned kLeast = 100;
  constexpr unsigned kMost = 599;
  if (head && (head->status < kLeast || head->status > kMost)) return refusal(kBadGateway, "an invalid status");
  return head;
}

Result<Framing> request_framing(const Head& head) {
  const auto hosts = std::count_if(head.fields.begin(), head.fields.end(),
                                   [](const Field& field) { return equal_names(field.name, "host"); });
  if (hosts > 1) return refusal(kBadRequest, "more than one Host field");
  if (hosts == 0 && !head.http_1_0) return refusal(kBadRequest, "no Host field");
  const std::string_view host = head.field("host");
  if (!std::all_of(host.begin(), host.end(), is_host_character)) return refusal(kBadRequest, "an invalid Host field");
  return explicit_framing(head);
}

Result<Framing> response_framing(const Head& head, std::string_view method) {
  Result<Framing> framing = explicit_framing(head);
  if (!framing) return framing;
  constexpr unsigned kFirstFinal = 200;
  if (head.status < kFirstFinal || head.status == kNoContent || head.status == kNotModified || method == "HEAD") {
    framing->kind = BodyKind::none;
    return framing;
  }
  if (framing->kind == BodyKind::none) {
    framing->kind = BodyKind::until_end;
    framing->keep = false;
  }
  return framing;
}

bool is_hop_by_hop(const Head& head, std::string_view name) {
  const auto equals = [&](std::string_view fixed) { return equal_names(fixed, name); };
  return std::any_of(kHopByHop.begin(), kHopByHop.end(), equals) ||
         (!is_end_to_end(name) && head.has_token("connection", name));
}

bool is_end_to_end(std::string_view name) {
  const auto equals = [&](std::string_view fixed) { return equal_names(fixed, name); };
  return std::any_of(kEndToEnd.begin(), kEndToEnd.end(), equals) ||
         (name.size() > kForwarded.size() && equal_names(name.substr(0, kForwarded.size()), kForwarded));
}

bool is_idempotent(std::string_view method) {
  constexpr std::array<std::string_view, 6> kMethods{"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"};
  return std::find(kMethods.begin(), kMethods.end(), method) != kMethods.end();
}

bool parse_number(std::string_view text, std::uint64_t most, std::uint64_t& out) {
  if (text.empty() || !std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; })) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size() && out <= most;
}

}  // namespace slotwire::web::http
