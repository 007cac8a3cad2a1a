#include "runtime/control/codec.hpp"

#include <algorithm>
#include <array>
#include <utility>

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

/// The text under `key`; nothing when there is none.
const std::string* text_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? &found->get_ref<const std::string&>() : nullptr;
}

/// Reads `json` as the alternative of V that has this name. Nothing: there is none; an Error: a field is wrong.
template <class V, std::size_t I = 0>
std::optional<core::Result<V>> read_named(std::string_view name, const Json& json) {
  if constexpr (I < std::variant_size_v<V>) {
    using M = std::variant_alternative_t<I, V>;
    if constexpr (requires { M::kName; }) {
      if (M::kName == name) {
        core::Result<M> read = detail::from_json<M>(json);
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
Json write_named(const char* key, const V& message) {
  return std::visit(
      [&](const auto& m) {
        using M = std::decay_t<decltype(m)>;
        if constexpr (requires { M::kName; }) {
          Json json = detail::to_json(m);
          json[key] = M::kName;
          return json;
        } else {
          return Json::object();  // an unknown message is only ever received
        }
      },
      message);
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
  InvalidRequest invalid;
  const core::Result<Json> parsed = parse_json(text);
  if (!parsed.ok() || !parsed.value().is_object()) {
    invalid.text =
        "a packet holds one JSON object with an 'op'" + (parsed.ok() ? std::string() : ": " + parsed.error().text);
    return invalid;
  }
  const Json& json = parsed.value();
  RequestPacket packet;
  bool has_id = false;
  if (const auto id = json.find("id"); id != json.end()) {
    if (!id->is_number_unsigned()) {
      invalid.text = "'id' is a number from 1 on";
      return invalid;
    }
    packet.id = invalid.id = id->get<std::uint64_t>();
    has_id = true;
  }
  const std::string* op = text_at(json, "op");
  if (op == nullptr) {
    invalid.text = "a packet holds one JSON object with an 'op'";
    return invalid;
  }
  std::optional<core::Result<Request>> request = read_named<Request>(*op, json);
  if (!request) {
    std::string name = *op;
    cut_text(name, kMaxCode);
    invalid.unknown = true;
    invalid.text = "there is no request '" + name + "'";
    return invalid;
  }
  if (!request->ok()) {
    invalid.text = "in '" + *op + "': " + request->error().text;
    return invalid;
  }
  packet.request = std::move(*request).value();
  // An answer without an id would be anybody's. Four requests have none.
  const bool answered =
      !std::holds_alternative<Bye>(packet.request) && !std::holds_alternative<Report>(packet.request) &&
      !std::holds_alternative<Inspected>(packet.request) && !std::holds_alternative<Alive>(packet.request);
  if (!has_id && answered) {
    invalid.text = "in '" + *op + "': 'id' is missing; give each request a number from 1 on";
    return invalid;
  }
  return packet;
}

std::string encode_request(std::uint64_t id, const Request& request) {
  Json json = write_named("op", request);
  json["id"] = id;
  return detail::dump(json);
}

std::string encode_refusal(std::uint64_t id, const Refusal& refusal) {
  return detail::dump(Json{{"id", id}, {"error", {{"code", refusal.code}, {"text", refusal.text}}}});
}

std::string encode_event(const Event& event) {
  return detail::dump(write_named("ev", event));
}

core::Result<FromEngine> decode_from_engine(std::string_view text) {
  core::Result<Json> parsed = parse_json(text);
  if (!parsed.ok()) return parsed.error();
  Json& json = parsed.value();
  if (!json.is_object()) return core::Error{"it is not a JSON object"};
  if (const std::string* name = text_at(json, "ev")) {
    std::optional<core::Result<Event>> event = read_named<Event>(*name, json);
    if (!event) return FromEngine(UnknownEvent{});
    if (!event->ok()) return event->error();
    return FromEngine(std::move(*event).value());
  }
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
  return detail::dump(write_named("type", message));
}

core::Result<PeerMessage> decode_peer(std::string_view text) {
  const core::Result<Json> parsed = parse_json(text);
  if (!parsed.ok()) return parsed.error();
  if (!parsed.value().is_object()) return core::Error{"it is not a JSON object"};
  const std::string* type = text_at(parsed.value(), "type");
  if (type == nullptr) return core::Error{"it has no 'type'"};
  std::optional<core::Result<PeerMessage>> message = read_named<PeerMessage>(*type, parsed.value());
  if (!message) {
    UnknownMessage unknown{*type};
    cut_text(unknown.type, kMaxCode);
    return PeerMessage(std::move(unknown));
  }
  if (!message->ok()) return core::Error{"in '" + *type + "': " + message->error().text};
  return std::move(*message).value();
}

}  // namespace slotwire::control
