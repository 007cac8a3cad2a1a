// What a connection carries, looked at from outside: parsers that find messages in bytes that arrive in pieces. No
// sockets, no clock, nothing of an engine. docs/inspection.md.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace slotwire::inspect {

/// What a connection may be said to speak. New ones are added here, in kLanguages and in make_parser().
enum class Language : std::uint8_t {
  none,
  records,  ///< messages and calls of libslotwire
  http,     ///< HTTP/1.0 and 1.1 in a stream
  redis,    ///< RESP2 and RESP3 in a stream
};
inline constexpr std::string_view kLanguages = "none|records|http|redis";  ///< by number
std::string_view name_of(Language language);
/// None: there is no such language.
std::optional<Language> language_of(std::string_view name);

/// Whether requests of the language may have this label (Message::label).
bool is_request_label(Language language, std::string_view label);

/// Which direction of a connection: towards the service, or from it.
enum class Role : std::uint8_t { request, reply };

/// What one parser takes at most. What is larger is invalid, not cut.
struct Limits {
  std::size_t head_bytes = std::size_t{64} << 10U;        ///< of an HTTP head, a chunk's line, a Redis line
  std::size_t fields = 256;                               ///< of an HTTP head
  std::size_t depth = 16;                                 ///< of Redis arrays in one another
  std::uint64_t elements = std::uint64_t{1} << 20U;       ///< of one Redis message
  std::uint64_t bulk_bytes = std::uint64_t{512} << 20U;   ///< of one Redis string
  std::uint64_t record_bytes = std::uint64_t{64} << 20U;  ///< of one record
  std::size_t summary_bytes = 160;                        ///< longer summaries are cut; 0: none is made
};

/// One message. The texts live as long as the call that hands it out.
struct Message {
  std::string_view label;          ///< method, command or kind: one of few, never what a stranger wrote
  std::string_view summary;        ///< one line of printable ASCII for people
  bool reply_has_no_body = false;  ///< of an HTTP request: HEAD
};

/// Who is told of messages.
class Listener {
 public:
  virtual ~Listener() = default;
  virtual void on_message(const Message& message) = 0;
};

/// Reads one direction of a byte stream. Time is linear in what is fed, memory bounded by Limits. One thread.
class Parser {
 public:
  virtual ~Parser() = default;
  /// Takes the next bytes and tells of messages: of an HTTP one when its head is there, of others when they are
  /// complete. False from the first invalid byte on; nothing is read any more then.
  virtual bool feed(std::string_view bytes, Listener& listener) = 0;
  /// The stream has ended. False: in the middle of a message.
  virtual bool end() = 0;
  /// A request was sent to which this direction has the reply. Only HTTP replies need to know.
  virtual void expect_reply(bool /*without_body*/) {}
  /// Why it is invalid: a text that this program made. Empty: it is not.
  std::string_view problem() const { return problem_; }

 protected:
  bool refuse(std::string_view why) {
    if (problem_.empty()) problem_ = why;
    return false;
  }

 private:
  std::string_view problem_;
};

/// A parser of a language of streams; none for the others.
std::unique_ptr<Parser> make_parser(Language language, Role role, const Limits& limits);

/// Replaces what is not printable ASCII by '.', and cuts.
void append_printable(std::string& out, std::string_view text, std::size_t most);

}  // namespace slotwire::inspect
