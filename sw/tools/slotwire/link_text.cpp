#include "tools/slotwire/link_text.hpp"

namespace slotwire::cli {
namespace {

std::string value_text(const Json& row, const char* key) {
  return row.value(key, std::string());
}

/// Whether a path over HTTP runs over a WebSocket, and why not; empty where this node does not know.
std::string way_text(const Json& link) {
  const std::string way = value_text(link, "http_way");
  if (way == "websocket") return " over a WebSocket";
  if (way.empty()) return {};
  std::string text = " by requests";
  const std::string reason = value_text(link, "http_way_reason");
  if (!reason.empty()) text += " (" + reason;
  if (const auto again = link.find("websocket_retry_seconds"); !reason.empty() && again != link.end()) {
    text += "; tried again in " + std::to_string(again->get<std::uint64_t>()) + " s";
  }
  return reason.empty() ? text : text + ")";
}

}  // namespace

LinkText describe_link(const Json& link) {
  const bool up = link.at("up").get<bool>();
  const std::string reason = link.at("reason").get<std::string>();
  LinkText text{value_text(link, "carrier"), reason};
  if (!up) {
    text.why = link.at("control_up").get<bool>() ? "control connection up" : "control connection down";
    text.why += link.at("carrier_up").get<bool>() ? ", carrier up" : ", carrier down";
    if (!reason.empty()) text.why.append(": ").append(reason);
  }
  const std::string path = value_text(link, "path");
  const std::string trouble = value_text(link, "http_trouble");
  if (!up && !trouble.empty() && text.why.find(trouble) == std::string::npos) text.why += "; over HTTP: " + trouble;
  if (path.empty() || !up) return text;
  text.carrier += ": " + path;
  text.why = "for " + std::to_string(link.value("path_seconds", std::uint64_t{0})) + " s";
  if (path == "http") text.why += way_text(link);
  for (const Json& other : link.at("paths")) {
    const std::string name = value_text(other, "path");
    if (name == path) break;
    const std::string reason_of = value_text(other, "reason");
    text.why += "; not " + name + ": " + (reason_of.empty() ? "it works again since a moment" : reason_of);
  }
  return text;
}

Table congestion_table(const Json& links) {
  Table table({{"LINK"},
               {"ALGORITHM"},
               {"WINDOW", true},
               {"IN FLIGHT", true},
               {"RTT us", true},
               {"LEAST us", true},
               {"LOST NAK", true},
               {"TIMEOUT", true},
               {"LINK", true},
               {"MARKED", true},
               {"LIMITED BY"}});
  for (const Json& link : links) {
    const auto found = link.find("congestion");
    if (found == link.end()) continue;
    const auto number = [&](const char* key) { return std::to_string(found->value(key, std::uint64_t{0})); };
    table.add({value_text(link, "peer"), value_text(*found, "algorithm"), number("window_lines"),
               number("inflight_lines"), number("srtt_us"), number("least_rtt_us"), number("lost_nak"),
               number("lost_timeout"), number("lost_link"), number("marked"), value_text(*found, "limited_by")});
  }
  return table;
}

}  // namespace slotwire::cli
