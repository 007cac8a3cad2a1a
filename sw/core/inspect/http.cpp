#include "core/inspect/http.hpp"

#include <algorithm>
#include <array>
#include <boost/beast/http/basic_parser.hpp>
#include <deque>
#include <optional>

namespace slotwire::inspect {
namespace {

namespace http = boost::beast::http;
using Text = boost::beast::string_view;
using Code = boost::beast::error_code;

/// Bytes that are added at a time to what a head is collected in.
constexpr std::size_t kStep = 4096;
/// "0", its line's end, and that of the message: nothing that ends a head or a chunk's line is shorter.
constexpr std::size_t kLeastBytes = 5;
constexpr std::string_view kBareLf = "a line that ends with LF alone";
/// Requests whose replies are still to come, at most; beyond that a HEAD is forgotten.
constexpr std::size_t kMaxExpected = 1024;
constexpr unsigned kSwitchingProtocols = 101;
constexpr unsigned kFirstFinal = 200;

constexpr std::array<std::string_view, 9> kMethods{"GET",   "HEAD",    "POST",  "PUT",  "DELETE",
                                                   "PATCH", "OPTIONS", "TRACE", "QUERY"};

std::string_view label_of_method(std::string_view method) {
  const auto found = std::find(kMethods.begin(), kMethods.end(), method);
  return found == kMethods.end() ? "other" : *found;
}

std::string_view label_of_status(unsigned status) {
  constexpr std::array<std::string_view, 5> kClasses{"1xx", "2xx", "3xx", "4xx", "5xx"};
  constexpr unsigned kPerClass = 100;
  const unsigned kind = status / kPerClass;
  return kind >= 1 && kind <= kClasses.size() ? kClasses.at(kind - 1) : "other";
}

/// One message.
template <bool IsRequest>
class Reader final : public http::basic_parser<IsRequest> {
 public:
  explicit Reader(const Limits& limits) : limits_(limits) {
    this->header_limit(static_cast<std::uint32_t>(limits.head_bytes));
    this->body_limit(boost::none);
    this->eager(true);
  }
  /// Whom to tell; for the time of a call.
  void tell(Listener* listener) { listener_ = listener; }
  std::string_view problem() const { return problem_; }
  unsigned status() const { return status_; }

 private:
  static constexpr int kVersion10 = 10;
  static constexpr int kVersion11 = 11;

  void refuse(std::string_view why, Code& error) {
    problem_ = why;
    error = http::error::bad_value;
  }
  void check(int version, Code& error) {
    if (version != kVersion10 && version != kVersion11) refuse("a version other than HTTP/1.0 and 1.1", error);
  }
  void on_request_impl(http::verb, Text method, Text target, int version, Code& error) override {
    if (method == "CONNECT") return refuse("the method CONNECT", error);
    check(version, error);
    label_ = label_of_method({method.data(), method.size()});
    head_ = label_ == "HEAD";
    if (limits_.summary_bytes == 0) return;
    append_printable(summary_, {method.data(), method.size()}, limits_.summary_bytes / 4);
    summary_ += ' ';
    append_printable(summary_, {target.data(), target.size()}, limits_.summary_bytes);
  }
  void on_response_impl(int code, Text reason, int version, Code& error) override {
    check(version, error);
    status_ = static_cast<unsigned>(code);
    label_ = label_of_status(status_);
    if (limits_.summary_bytes == 0) return;
    summary_ = std::to_string(status_) + ' ';
    append_printable(summary_, {reason.data(), reason.size()}, limits_.summary_bytes / 2);
  }
  void on_field_impl(http::field, Text, Text, Code& error) override {
    if (++fields_ > limits_.fields) refuse("a head with too many fields", error);
  }
  void on_header_impl(Code&) override {
    if (limits_.summary_bytes != 0) {
      if (this->chunked()) {
        summary_ += ", chunked";
      } else if (const auto length = this->content_length()) {
        summary_ += ", " + std::to_string(*length) + " bytes";
      }
    }
    listener_->on_message({label_, std::string_view(summary_).substr(0, limits_.summary_bytes), head_});
  }
  void on_body_init_impl(boost::optional<std::uint64_t> const&, Code&) override {}
  std::size_t on_body_impl(Text body, Code&) override { return body.size(); }
  void on_chunk_header_impl(std::uint64_t, Text, Code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, Text body, Code&) override { return body.size(); }
  void on_finish_impl(Code&) override {}

  const Limits& limits_;
  Listener* listener_ = nullptr;
  std::string_view label_, problem_;
  std::string summary_;
  std::size_t fields_ = 0;
  unsigned status_ = 0;
  bool head_ = false;
};

template <bool IsRequest>
class HttpParser final : public Parser {
 public:
  explicit HttpParser(const Limits& limits) : limits_(limits) {}

  bool feed(std::string_view bytes, Listener& listener) override {
    if (!problem().empty()) return false;
    while (!bytes.empty() && !opaque_) {
      // What was there of a head that is not complete is continued; otherwise the bytes are read where they are.
      if (kept_.empty()) {
        std::string_view rest = bytes;
        if (!read(rest, listener)) return false;
        if (rest.size() > limits_.head_bytes) return refuse("a head or a chunk's line that is too large");
        kept_ = rest;
        return true;
      }
      const std::size_t step = std::min(bytes.size(), kStep);
      kept_ += bytes.substr(0, step);
      bytes.remove_prefix(step);
      // Beast counts on it that what follows the line of a last chunk comes with the whole of that line.
      if (kept_.size() < kLeastBytes && !asked_to_upgrade_) {
        if (has_bare_lf(kept_)) return refuse(kBareLf);
        continue;
      }
      std::string_view rest = kept_;
      if (!read(rest, listener)) return false;
      if (rest.size() > limits_.head_bytes) return refuse("a head or a chunk's line that is too large");
      kept_.erase(0, kept_.size() - rest.size());
    }
    if (opaque_) kept_.clear();
    return true;
  }

  bool end() override {
    if (!problem().empty()) return false;
    if (opaque_) return true;
    if (!kept_.empty()) return refuse("the stream ended inside a message");
    if (!reader_ || !reader_->got_some()) return true;
    Code error;
    reader_->put_eof(error);
    return error ? refuse("the stream ended inside a message") : true;
  }

  void expect_reply(bool without_body) override {
    if (expected_.size() < kMaxExpected) expected_.push_back(without_body);
  }

 private:
  /// Whether a line of what is not complete yet ends with LF alone. Beast would wait for a CR LF, and others take it
  /// for the end of the line.
  static bool has_bare_lf(std::string_view rest) {
    for (std::size_t at = rest.find('\n'); at != std::string_view::npos; at = rest.find('\n', at + 1)) {
      if (at == 0 || rest[at - 1] != '\r') return true;
    }
    return false;
  }

  /// Takes from the front of `bytes` what can be read. False: invalid.
  bool read(std::string_view& bytes, Listener& listener) {
    if (!take(bytes, listener)) return false;
    return opaque_ || !has_bare_lf(bytes) || refuse(kBareLf);
  }

  bool take(std::string_view& bytes, Listener& listener) {
    while (!bytes.empty() && !opaque_) {
      if (asked_to_upgrade_) {
        if (bytes.size() < 2) return true;
        asked_to_upgrade_ = false;
        if (!is_like_http(bytes)) {
          opaque_ = true;
          return true;
        }
      }
      if (!reader_) begin();
      reader_->tell(&listener);
      Code error;
      const std::size_t taken = reader_->put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
      bytes.remove_prefix(taken);
      if (error && error != http::error::need_more) {
        return refuse(reader_->problem().empty() ? "bytes that are not HTTP/1.1" : reader_->problem());
      }
      if (reader_->is_done()) {
        finish();
      } else if (error || taken == 0) {
        return true;
      }
    }
    return true;
  }

  /// Of what follows a request for an upgrade: a server that does not want it reads on, and a caller must not get a
  /// request past the inspection in this way. No WebSocket begins with a letter and a second byte below 0x80, since
  /// what a client sends is masked.
  static bool is_like_http(std::string_view bytes) {
    const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    return (is_letter(bytes[0]) || bytes[0] == '\r' || bytes[0] == '\n') && static_cast<unsigned char>(bytes[1]) < 0x80;
  }

  void begin() {
    reader_.emplace(limits_);
    if constexpr (!IsRequest) reader_->skip(!expected_.empty() && expected_.front());
  }

  void finish() {
    if constexpr (IsRequest) {
      asked_to_upgrade_ = reader_->upgrade();
    } else {
      opaque_ = reader_->status() == kSwitchingProtocols;
      if (reader_->status() >= kFirstFinal && !expected_.empty()) expected_.pop_front();
    }
    reader_.reset();
  }

  const Limits limits_;
  std::optional<Reader<IsRequest>> reader_;
  std::string kept_;           ///< the beginning of a head or of a chunk's line
  std::deque<bool> expected_;  ///< replies without a body or with one, oldest first
  bool opaque_ = false;        ///< not HTTP any more
  bool asked_to_upgrade_ = false;
};

}  // namespace

bool is_http_method_label(std::string_view label) {
  return label_of_method(label) == label;
}

std::unique_ptr<Parser> make_http_parser(Role role, const Limits& limits) {
  if (role == Role::request) return std::make_unique<HttpParser<true>>(limits);
  return std::make_unique<HttpParser<false>>(limits);
}

}  // namespace slotwire::inspect
