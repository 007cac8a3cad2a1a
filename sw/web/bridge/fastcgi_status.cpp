#include "web/bridge/fastcgi_status.hpp"

#include <algorithm>

#include "web/http/text.hpp"

namespace slotwire::web::bridge::fastcgi {
namespace {

constexpr std::size_t kEndContent = 8;
constexpr std::size_t kProtocolStatus = 4;  ///< its place in the last record
constexpr char kOverloaded = 2;
constexpr unsigned kFound = 302, kOk = 200;

/// The value of the field at the front of `line`; nothing if it is another one.
std::string_view value_of(std::string_view line, std::string_view name) {
  if (line.size() <= name.size() || line[name.size()] != ':' || !equal_names(line.substr(0, name.size()), name))
    return {};
  line.remove_prefix(name.size() + 1);
  while (line.starts_with(' ')) line.remove_prefix(1);
  return line;
}

}  // namespace

StatusReader::State StatusReader::invalid(const char* why) {
  problem_ = why;
  return State::invalid;
}

StatusReader::State StatusReader::feed(std::string_view bytes) {
  fed_ += bytes.size();
  while (!bytes.empty()) {
    if (content_left_ != 0) {
      const std::string_view content = bytes.substr(0, content_left_);
      bytes.remove_prefix(content.size());
      content_left_ -= content.size();
      if (record_.type == Type::standard_output && !has_head_) {
        if (const State state = take_output(content); state != State::incomplete) return state;
      } else if (record_.type == Type::end_request) {
        end_ += content.substr(0, kEndContent - std::min(end_.size(), kEndContent));
      }
      if (record_.type == Type::end_request && content_left_ == 0) return take_end();
    } else if (padding_left_ != 0) {
      const std::size_t n = std::min(padding_left_, bytes.size());
      padding_left_ -= n;
      bytes.remove_prefix(n);
    } else {
      const std::size_t n = std::min(kHeaderBytes - header_.size(), bytes.size());
      header_ += bytes.substr(0, n);
      bytes.remove_prefix(n);
      if (header_.size() < kHeaderBytes) break;
      if (!decode_header(header_, record_)) return invalid("it sent what is no FastCGI record of this request");
      header_.clear();
      content_left_ = record_.content;
      padding_left_ = record_.padding;
    }
  }
  return !has_head_ && fed_ > kMostBefore ? invalid("no head of a response is in what it sent") : State::incomplete;
}

StatusReader::State StatusReader::take_end() {
  if (end_.size() == kEndContent && end_[kProtocolStatus] == kOverloaded) return invalid("it has no child to spare");
  if (end_.size() != kEndContent || end_[kProtocolStatus] != 0) return invalid("it refused the request");
  return has_head_ ? State::complete : invalid("it ended the request without a response");
}

StatusReader::State StatusReader::take_output(std::string_view content) {
  for (const char c : content) {
    if (c == '\r') continue;  // a line may end with a line feed alone
    head_ += c;
    if (head_.size() > kMostHead) return invalid("the head of its response is too large");
    if (c == '\n' && (head_.ends_with("\n\n") || head_ == "\n")) return take_head();
  }
  return State::incomplete;
}

StatusReader::State StatusReader::take_head() {
  status_ = kOk;
  bool said = false;
  for (std::string_view rest(head_); !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(line.size() + 1);
    if (const std::string_view value = value_of(line, "status"); !value.empty()) {
      constexpr std::uint64_t kMost = 599;
      std::uint64_t number = 0;
      if (!http::parse_number(value.substr(0, value.find(' ')), kMost, number))
        return invalid("its response has an invalid Status field");
      status_ = static_cast<unsigned>(number);
      said = true;
    } else if (!said && !value_of(line, "location").empty()) {
      status_ = kFound;
    }
  }
  has_head_ = true;
  return State::incomplete;
}

}  // namespace slotwire::web::bridge::fastcgi
