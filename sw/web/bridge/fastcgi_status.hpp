// The status of a FastCGI response, for who wants to know nothing else of it. No sockets.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include "web/bridge/fastcgi.hpp"

namespace slotwire::web::bridge::fastcgi {

class StatusReader {
 public:
  /// Bytes of a head that are kept, and bytes of all records that are read before it.
  static constexpr std::size_t kMostHead = 8192, kMostBefore = 65536;
  enum class State { incomplete, complete, invalid };

  /// Takes what the application sent next; after `complete` or `invalid` nothing more. Complete is the response whose
  /// request the application has ended; the body is not kept and may be of any length.
  State feed(std::string_view bytes);
  /// The head is there.
  bool has_head() const { return has_head_; }
  /// Of a complete response: that of its Status field, 302 with a Location and none, else 200.
  unsigned status() const { return status_; }
  /// Why it is invalid, for people.
  const std::string& problem() const { return problem_; }

 private:
  State invalid(const char* why);
  State take_end();
  State take_output(std::string_view content);
  State take_head();

  std::string header_, head_, end_, problem_;
  Record record_;
  std::size_t content_left_ = 0, padding_left_ = 0, fed_ = 0;
  unsigned status_ = 0;
  bool has_head_ = false;
};

}  // namespace slotwire::web::bridge::fastcgi
