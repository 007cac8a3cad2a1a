#include "web/http/body.hpp"

#include <cassert>
#include <limits>

#include "web/http/text.hpp"

namespace slotwire::web::http {
namespace {

int hex_value(char c) {
  constexpr int kTen = 10;
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + kTen;
  if (c >= 'A' && c <= 'F') return c - 'A' + kTen;
  return -1;
}

}  // namespace

BodyReader::BodyReader(const Framing& framing) : kind_(framing.kind), state_(State::data) {
  switch (kind_) {
    case BodyKind::none:
      state_ = State::done;
      break;
    case BodyKind::length:
      data_left_ = framing.length;
      if (data_left_ == 0) state_ = State::done;
      break;
    case BodyKind::chunked:
      state_ = State::size;
      break;
    case BodyKind::until_end:
      data_left_ = std::numeric_limits<std::uint64_t>::max();
      break;
  }
}

std::size_t BodyReader::skip(std::string_view bytes) {
  std::size_t at = 0;
  while (at < bytes.size() && state_ != State::data && state_ != State::done && state_ != State::invalid)
    step(bytes[at++]);
  return at;
}

void BodyReader::take(std::uint64_t bytes) {
  assert(state_ == State::data && bytes <= data_left_);
  if (kind_ == BodyKind::until_end) return;
  data_left_ -= bytes;
  if (data_left_ == 0) state_ = kind_ == BodyKind::length ? State::done : State::data_cr;
}

bool BodyReader::end_of_stream() {
  if (kind_ == BodyKind::until_end) {
    state_ = State::done;
    data_left_ = 0;
  }
  return state_ == State::done;
}

void BodyReader::refuse(const char* why) {
  state_ = State::invalid;
  why_ = why;
}

void BodyReader::end_of_size() {
  digits_ = 0;
  extension_ = 0;
  if (size_ == 0) {
    state_ = State::trailer_start;
  } else {
    data_left_ = size_;
    state_ = State::data;
  }
}

void BodyReader::step_size(char c) {
  const int digit = hex_value(c);
  if (digit >= 0) {
    if (digits_ == 0) size_ = 0;
    if (++digits_ > kMostSizeDigits) return refuse("a chunk that is too large");
    size_ = size_ * 16 + static_cast<unsigned>(digit);
  } else if (digits_ == 0) {
    refuse("a chunk without a size");
  } else if (c == '\r') {
    state_ = State::size_lf;
  } else if (c == ';') {
    state_ = State::extension;
  } else {
    refuse("an invalid size of a chunk");
  }
}

void BodyReader::step_trailer(char c) {
  if (++trailers_ > kMostTrailers) return refuse("trailers that are too large");
  switch (state_) {
    case State::trailer_start:
      if (c == '\r') {
        state_ = State::last_lf;
      } else if (is_token_character(c)) {
        state_ = State::trailer_name;
      } else {
        refuse("an invalid trailer");
      }
      break;
    case State::trailer_name:
      if (c == ':') {
        state_ = State::trailer_value;
      } else if (!is_token_character(c)) {
        refuse("an invalid trailer");
      }
      break;
    case State::trailer_value:
      if (c == '\r') {
        state_ = State::trailer_lf;
      } else if (!is_value_character(c)) {
        refuse("an invalid trailer");
      }
      break;
    case State::trailer_lf:
      if (c != '\n') return refuse("a carriage return without a line feed");
      state_ = State::trailer_start;
      break;
    default:
      if (c != '\n') return refuse("a carriage return without a line feed");
      state_ = State::done;
  }
}

void BodyReader::step(char c) {
  switch (state_) {
    case State::size:
      return step_size(c);
    case State::extension:
      if (c == '\r') {
        state_ = State::size_lf;
      } else if (++extension_ > kMostExtension || !is_value_character(c)) {
        refuse("an invalid extension of a chunk");
      }
      return;
    case State::size_lf:
      if (c != '\n') return refuse("a carriage return without a line feed");
      return end_of_size();
    case State::data_cr:
      if (c != '\r') return refuse("a chunk that is longer than it says");
      state_ = State::data_lf;
      return;
    case State::data_lf:
      if (c != '\n') return refuse("a carriage return without a line feed");
      state_ = State::size;
      return;
    default:
      return step_trailer(c);
  }
}

}  // namespace slotwire::web::http
