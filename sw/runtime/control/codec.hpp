// The one codec of the control messages: every side writes and reads them through it.
//
// Reading is safe for text of any origin: its depth is bounded, nothing throws, and what is wrong is said by name.
// Written text is always valid UTF-8. Messages that come often are written into a text directly, and read by PlainJson
// where it can; every other text is read by a full parser, to the same end.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "core/result.hpp"
#include "runtime/control/messages.hpp"

namespace slotwire::control {

/// Objects and lists within each other in one message, at most; a deeper text is refused before it is parsed.
inline constexpr std::size_t kMaxDepth = 8;

/// Parses a text of any origin. An Error: not JSON, not UTF-8, or deeper than kMaxDepth.
core::Result<Json> parse_json(std::string_view text);

// ---- a process's request ----

/// A request as it came. `id` is 0 when nobody waits for the answer, which a bye and a report do not need.
struct RequestPacket {
  std::uint64_t id = 0;
  Request request;
};
/// Why a packet is no request, with the id that the answer takes.
struct InvalidRequest {
  std::uint64_t id = 0;
  bool unknown = false;  ///< it is well formed, but there is no request of this name
  std::string text;
};
std::variant<RequestPacket, InvalidRequest> decode_request(std::string_view text);
std::string encode_request(std::uint64_t id, const Request& request);

// ---- the engine's answers and events ----

namespace detail {
std::string dump(const Json& json);
template <class M>
Json to_json(const M& message) {
  Json json = Json::object();
  FieldWriter writer(json);
  M::fields(message, writer);
  return json;
}
template <class M>
core::Result<M> from_json(const Json& json) {
  M message;
  FieldReader reader{JsonValue(json)};
  M::fields(message, reader);
  if (!reader.problem().empty()) return core::Error{reader.problem()};
  return message;
}
std::string answer(std::uint64_t id, Json json);
/// The text of a message whose `name` stands under `key`, before its fields.
template <class M>
std::string named_text(const char* key, std::string_view name, const M& message, std::optional<std::uint64_t> id = {}) {
  std::string text;
  text.reserve(256);
  TextWriter writer(text);
  writer.must(key, name);
  if (id) writer.must("id", *id);
  M::fields(message, writer);
  writer.finish();
  return text;
}
}  // namespace detail

/// An answer with the fields of `message`.
template <class M>
std::string encode_answer(std::uint64_t id, const M& message) {
  std::string text;
  text.reserve(256);
  TextWriter writer(text);
  writer.must("id", id);
  writer.must("ok", true);
  M::fields(message, writer);
  writer.finish();
  return text;
}
/// An answer that is a document for people and scripts (status, slots, sessions, links of a capture).
inline std::string encode_document(std::uint64_t id, Json document) {
  return detail::answer(id, std::move(document));
}
std::string encode_refusal(std::uint64_t id, const Refusal& refusal);
std::string encode_event(const Event& event);

/// A packet of the engine, as its process reads it.
struct Answer {
  std::uint64_t id = 0;
  std::optional<Refusal> refusal;  ///< the request was refused
  Json fields;                     ///< of the answer; read them with decode_answer()
};
struct UnknownEvent {};  ///< of a later release; ignored
using FromEngine = std::variant<Answer, Event, UnknownEvent>;
core::Result<FromEngine> decode_from_engine(std::string_view text);
/// The fields of an answer as the message that was asked for.
template <class M>
core::Result<M> decode_answer(const Answer& answer) {
  return detail::from_json<M>(answer.fields);
}

// ---- between engines ----

std::string encode_peer(const PeerMessage& message);
core::Result<PeerMessage> decode_peer(std::string_view text);

/// Figures as a document shows them.
inline Json figures_json(const std::vector<Figures>& figures) {
  return detail::to_json(Report{figures}).at("figures");
}

}  // namespace slotwire::control
