#include "runtime/control/codec.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "core/overloaded.hpp"
#include "runtime/control/plain_json.hpp"
#include "runtime/control/printable.hpp"

namespace slotwire::control {
namespace {

constexpr std::array<std::string_view, 6> kEndNames = {"none", "closed", "died", "fault", "peer_fault", "lost"};

constexpr std::array<std::string_view, 3> kHealthNames = {"well", "failing", "drained"};

/// Objects and lists within each other. Brackets within strings do not count.
bool too_deep(std::string_view text) {
  std::size_t depth = 0;
  bool in_string = false, escaped = false;
  for (const char c : text) {
    if (in_string) {
      in_string = escaped || c != '"';
      escaped = !escaped && c == '\\';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxDepth) return true;
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return false;
}

static_assert(PlainJson::kMaxDepth == kMaxDepth);

/// The text under `key`; nothing when there is none.
const std::string* text_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? &found->get_ref<const std::string&>() : nullptr;
}
template <class Value>
std::optional<std::string_view> text_in(const Value& object, const char* key) {
  const Value found = object.find(key);
  if (!found || !found.is_text()) return std::nullopt;
  return found.text();
}

/// The fields of `object` as an M.
template <class M, class Value>
core::Result<M> read_fields(const Value& object) {
  M message;
  FieldReader<Value> reader(object);
  M::fields(message, reader);
  if (!reader.problem().empty()) return core::Error{reader.problem()};
  return message;
}

/// Reads `json` as the alternative of V that has this name. Nothing: there is none; an Error: a field is wrong.
template <class V, std::size_t I = 0, class Value>
std::optional<core::Result<V>> read_named(std::string_view name, const Value& json) {
  if constexpr (I < std::variant_size_v<V>) {
    using M = std::variant_alternative_t<I, V>;
    if constexpr (requires { M::kName; }) {
      if (M::kName == name) {
        core::Result<M> read = read_fields<M>(json);
        if (!read.ok()) return core::Result<V>(read.error());
        return core::Result<V>(V(std::move(read).value()));
      }
    }
    return read_named<V, I + 1>(name, json);
  } else {
    return std::nullopt;
  }
}

template <class V>
std::string write_named(const char* key, const V& message, std::optional<std::uint64_t> id = {}) {
  return std::visit(
      [&](const auto& m) {
        using M = std::decay_t<decltype(m)>;
        if constexpr (requires { M::kName; }) {
          return detail::named_text(key, M::kName, m, id);
        } else {
          return std::string("{}");  // an unknown message is only ever received
        }
      },
      message);
}

/// What a request makes of its id: an answer without one would be anybody's.
enum class NeedsId : std::uint8_t {
  no,       ///< nothing answers it
  or_zero,  ///< 0: only an error answers it
  always
};
NeedsId needs_id(const Request& request) {
  using enum NeedsId;
  return std::visit(
      Overloaded{[](const Bye&) { return no; }, [](const Report&) { return no; }, [](const Inspected&) { return no; },
                 [](const Alive&) { return no; }, [](const Serve&) { return or_zero; },
                 [](const Unserve&) { return or_zero; }, [](const Close&) { return or_zero; },
                 [](const Resume&) { return or_zero; }, [](const auto&) { return always; }},
      request);
}

template <class Value>
std::variant<RequestPacket, InvalidRequest> read_request(const Value& json) {
  InvalidRequest invalid;
  RequestPacket packet;
  bool has_id = false;
  if (const Value id = json.find("id")) {
    if (!id.is_unsigned()) {
      invalid.text = "'id' is a number from 1 on";
      return invalid;
    }
    id.whole(packet.id);
    invalid.id = packet.id;
    has_id = true;
  }
  const std::optional<std::string_view> op = text_in(json, "op");
  if (!op) {
    invalid.text = "a packet holds one JSON object with an 'op'";
    return invalid;
  }
  std::string name(*op);
  std::optional<core::Result<Request>> request = read_named<Request>(name, json);
  if (!request) {
    cut_text(name, kMaxCode);
    invalid.unknown = true;
    invalid.text = "there is no request '" + name + "'";
    return invalid;
  }
  if (!request->ok()) {
    invalid.text = "in '" + name + "': " + request->error().text;
    return invalid;
  }
  packet.request = std::move(*request).value();
  const NeedsId needs = needs_id(packet.request);
  if ((!has_id && needs != NeedsId::no) || (packet.id == 0 && needs == NeedsId::always)) {
    invalid.text =
        "in '" + name + "': 'id' is " + (has_id ? "0" : "missing") + "; give each request a number from 1 on";
    return invalid;
  }
  return packet;
}

template <class Value>
core::Result<PeerMessage> read_peer(const Value& json) {
  const std::optional<std::string_view> type = text_in(json, "type");
  if (!type) return core::Error{"it has no 'type'"};
  std::optional<core::Result<PeerMessage>> message = read_named<PeerMessage>(*type, json);
  if (!message) {
    UnknownMessage unknown{std::string(*type)};
    cut_text(unknown.type, kMaxCode);
    return PeerMessage(std::move(unknown));
  }
  if (!message->ok()) return core::Error{"in '" + std::string(*type) + "': " + message->error().text};
  return std::move(*message).value();
}

template <class Value>
core::Result<FromEngine> read_event(std::string_view name, const Value& json) {
  std::optional<core::Result<Event>> event = read_named<Event>(name, json);
  if (!event) return FromEngine(UnknownEvent{});
  if (!event->ok()) return event->error();
  return FromEngine(std::move(*event).value());
}

}  // namespace

std::string_view end_name(End end) {
  const auto index = static_cast<std::size_t>(end);
  return index < kEndNames.size() ? kEndNames[index] : "none";
}

End end_from_name(std::string_view name) {
  const auto found = std::find(kEndNames.begin() + 1, kEndNames.end(), name);
  return found == kEndNames.end() ? End::died : static_cast<End>(found - kEndNames.begin());
}

std::string_view health_name(Health health) {
  const auto index = static_cast<std::size_t>(health);
  return index < kHealthNames.size() ? kHealthNames[index] : "failing";
}

Health health_from_name(std::string_view name) {
  const auto found = std::find(kHealthNames.begin(), kHealthNames.end(), name);
  return found == kHealthNames.end() ? Health::failing : static_cast<Health>(found - kHealthNames.begin());
}

/// Texts of others end up in logs and on terminals: control characters in them would forge lines there.
void make_printable(Json& json) {
  if (json.is_string()) {
    std::string& text = json.get_ref<std::string&>();
    text = printable(text);
  } else if (json.is_structured()) {
    for (Json& inner : json) make_printable(inner);
  }
}

core::Result<Json> parse_json(std::string_view text) {
  if (too_deep(text)) return core::Error{"it is nested deeper than " + std::to_string(kMaxDepth) + " levels"};
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return core::Error{"it is not valid JSON in UTF-8"};
  make_printable(json);
  return json;
}

std::string detail::dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string detail::answer(std::uint64_t id, Json json) {
  json["id"] = id;
  json["ok"] = true;
  return dump(json);
}

std::variant<RequestPacket, InvalidRequest> decode_request(std::string_view text) {
  if (PlainJson plain; plain.parse(text) && plain.root().is_object()) return read_request(plain.root());
  const core::Result<Json> parsed = parse_json(text);
  if (parsed.ok() && parsed.value().is_object()) return read_request(JsonValue(parsed.value()));
  InvalidRequest invalid;
  invalid.text =
      "a packet holds one JSON object with an 'op'" + (parsed.ok() ? std::string() : ": " + parsed.error().text);
  return invalid;
}

std::string encode_request(std::uint64_t id, const Request& request) {
  return write_named("op", request, id);
}

std::string encode_refusal(std::uint64_t id, const Refusal& refusal) {
  return detail::dump(Json{{"id", id}, {"error", {{"code", refusal.code}, {"text", refusal.text}}}});
}

std::string encode_event(const Event& event) {
  return write_named("ev", event);
}

core::Result<FromEngine> decode_from_engine(std::string_view text) {
  if (PlainJson plain; plain.parse(text) && plain.root().is_object()) {
    if (const auto name = text_in(plain.root(), "ev")) return read_event(*name, plain.root());
  }
  core::Result<Json> parsed = parse_json(text);
  if (!parsed.ok()) return parsed.error();
  Json& json = parsed.value();
  if (!json.is_object()) return core::Error{"it is not a JSON object"};
  if (const std::string* name = text_at(json, "ev")) return read_event(*name, JsonValue(json));
  Answer answer;
  if (const auto id = json.find("id"); id != json.end() && id->is_number_unsigned())
    answer.id = id->get<std::uint64_t>();
  if (const auto error = json.find("error"); error != json.end()) {
    Refusal refusal{{}, "refused without a reason"};
    if (error->is_object()) {
      if (const std::string* code = text_at(*error, "code")) refusal.code = *code;
      if (const std::string* why = text_at(*error, "text")) refusal.text = *why;
    }
    cut_text(refusal.code, kMaxCode);
    cut_text(refusal.text, kMaxText);
    answer.refusal = std::move(refusal);
  }
  answer.fields = std::move(json);
  return FromEngine(std::move(answer));
}

std::string encode_peer(const PeerMessage& message) {
  return write_named("type", message);
}

core::Result<PeerMessage> decode_peer(std::string_view text) {
  if (PlainJson plain; plain.parse(text) && plain.root().is_object()) return read_peer(plain.root());
  const core::Result<Json> parsed = parse_json(text);
  if (!parsed.ok()) return parsed.error();
  if (!parsed.value().is_object()) return core::Error{"it is not a JSON object"};
  return read_peer(JsonValue(parsed.value()));
}

}  // namespace slotwire::control
