// One direction of a connection as records: counts and checks what the language says, or finds its messages.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/inspect/parser.hpp"
#include "core/slot/record.hpp"

namespace slotwire::inspect {

/// Whether the first record is the first of the connection.
enum class Join : std::uint8_t {
  beginning,
  middle,  ///< what cannot be read before the first message is passed over, and reading begins at the next record
};

/// Use for each record: begin(), then its payload in pieces by feed(). One thread.
class Inspector {
 public:
  Inspector(Language language, Role role, Join join, const Limits& limits = {});

  /// A record with this header begins; the one before is complete. False: invalid, from now on.
  bool begin(const slot::RecordHeader& header, Listener& listener);
  /// The next bytes of the record's payload. False: invalid, from now on.
  bool feed(std::string_view payload, Listener& listener);
  /// As Parser::expect_reply().
  void expect_reply(bool without_body);
  /// Why it is invalid; empty: it is not.
  std::string_view problem() const { return problem_; }
  Language language() const { return language_; }

 private:
  bool refuse(std::string_view why);
  bool begin_of_message(const slot::RecordHeader& header, Listener& listener);
  bool may_begin(std::string_view payload) const;

  Language language_;
  Role role_;
  Limits limits_;
  bool joined_;               ///< a message was found, or the beginning was seen
  bool at_beginning_ = true;  ///< the parser has read nothing
  bool passes_ = false;       ///< the rest of this record is passed over
  bool in_parts_ = false;     ///< a message has begun whose last part is to come
  std::uint64_t bytes_ = 0;   ///< of the message so far
  std::unique_ptr<Parser> parser_;
  std::string_view problem_;
};

/// Guesses the language and the role from the first bytes of a record. Role: only where the bytes say it.
struct Guess {
  Language language = Language::records;
  std::optional<Role> role;
};
Guess guess(const slot::RecordHeader& header, std::string_view payload);

}  // namespace slotwire::inspect
