// Bodies of HTTP/1.1 messages, read from bytes that arrive in pieces without copying them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "web/http/head.hpp"

namespace slotwire::web::http {

/// Says of each piece which bytes are framing and which are data. Use: skip() the framing at the beginning of what has
/// arrived; then the next bytes, at most data_left() of them, are data; take() those that were used.
///
/// Chunks are read strictly: hexadecimal digits alone, CR and LF in pairs, bounded extensions (which are ignored) and
/// bounded trailers (which are checked and dropped).
class BodyReader {
 public:
  explicit BodyReader(const Framing& framing = {});

  /// Returns how many bytes of framing `bytes` begins with; they are taken. Afterwards, unless more bytes of framing
  /// have to arrive first, data_left() is not 0, or done() or invalid().
  std::size_t skip(std::string_view bytes);
  /// Bytes of data that follow without framing in between.
  std::uint64_t data_left() const { return data_left_; }
  /// At most data_left().
  void take(std::uint64_t bytes);
  bool done() const { return state_ == State::done; }
  /// Ends a body that lasts to the end of the stream. False: the body was cut off.
  bool end_of_stream();
  bool invalid() const { return state_ == State::invalid; }
  const char* reason() const { return why_; }
  BodyKind kind() const { return kind_; }

  /// Digits of a chunk's size.
  static constexpr unsigned kMostSizeDigits = 15;
  /// Of one chunk's extensions, bytes.
  static constexpr std::size_t kMostExtension = 256;
  static constexpr std::size_t kMostTrailers = std::size_t{8} << 10U;

 private:
  enum class State : std::uint8_t {
    size,
    extension,
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer_start,
    trailer_name,
    trailer_value,
    trailer_lf,
    last_lf,
    done,
    invalid,
  };
  void refuse(const char* why);
  void step(char c);
  void step_size(char c);
  void step_trailer(char c);
  void end_of_size();

  BodyKind kind_;
  State state_;
  std::uint64_t data_left_ = 0;
  std::uint64_t size_ = 0;
  unsigned digits_ = 0;
  std::size_t extension_ = 0;
  std::size_t trailers_ = 0;
  const char* why_ = "";
};

}  // namespace slotwire::web::http
