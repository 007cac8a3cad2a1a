// slotwire status: what a node is doing, once.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "core/regs/regs.hpp"
#include "runtime/control/printable.hpp"
#include "tools/slotwire/control_client.hpp"
#include "tools/slotwire/link_text.hpp"
#include "tools/slotwire/slot_rows.hpp"
#include "tools/slotwire/text.hpp"

namespace slotwire::cli {
namespace {

struct StatusOptions {
  Common common;
  bool slots = false;
  bool sessions = false;
};

/// One line about a counter, for those that the registers describe; `count` is how many there are.
template <typename Counter>
std::string describe_counter(std::string_view name, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto counter = static_cast<Counter>(i);
    if (regs::name(counter) == name) return std::string(regs::describe(counter));
  }
  return {};
}

void print_links(const Json& links) {
  if (links.empty()) {
    std::printf("\nNo links: this node talks to no other ([[link]] in its configuration).\n");
    return;
  }
  std::size_t unauthenticated = 0;
  Table table({{"LINK"}, {"CARRIER"}, {"ENCRYPTION"}, {"STATE"}, {"CONNECTS", true}, {"WHY"}});
  for (const Json& link : links) {
    const bool up = link.at("up").get<bool>();
    const LinkText said = describe_link(link);
    const bool open = !link.value("authenticated", true);
    unauthenticated += open ? 1 : 0;
    table.add({text_of(link, "peer"), said.carrier, text_of(link, "encryption"), up ? "up" : "down",
               text_of(link, "control_connects"), said.why},
              {Colour::bold, Colour::none, Colour::none, up ? Colour::good : Colour::bad});
  }
  std::printf("\n%s", table.text().c_str());
  if (unauthenticated != 0) {
    std::printf("Links with encryption none are unauthenticated: who sees their frames can read and change them.\n");
  }
}

/// What peers have opened here; nothing when none has.
void print_peers(const Json& links) {
  Table table({{"OPENED BY PEER"},
               {"SLOTS", true},
               {"MEMORY", true},
               {"OPENING", true},
               {"REFUSED", true},
               {"DOWN FOR", true}});
  for (const Json& link : links) {
    const auto of = [&](const char* key) { return link.value(key, std::uint64_t{0}); };
    if (of("slots") + of("pending_opens") + of("refused_opens") == 0) continue;
    table.add({text_of(link, "peer"), text_of(link, "slots"), bytes_text(static_cast<double>(of("memory"))),
               text_of(link, "pending_opens"), text_of(link, "refused_opens"),
               of("down_s") == 0 ? "-" : uptime_text(of("down_s"))},
              {Colour::bold});
  }
  if (!table.empty()) std::printf("\n%s", table.text().c_str());
}

/// What became of the datagrams of encrypted links.
void print_encryption(const Json& links) {
  Table table({{"ENCRYPTED LINK"},
               {"SEALED", true},
               {"OPENED", true},
               {"KEYS OUT", true},
               {"KEYS IN", true},
               {"FORGED", true},
               {"REPLAYED", true},
               {"TOO OLD", true},
               {"NO KEY", true},
               {"CLEAR", true},
               {"TOO SHORT", true}});
  for (const Json& link : links) {
    const auto keys = link.find("keys");
    if (keys == link.end()) continue;
    table.add({text_of(link, "peer"), text_of(*keys, "sealed"), text_of(*keys, "opened"), text_of(*keys, "tx_keys"),
               text_of(*keys, "rx_keys"), text_of(*keys, "forged"), text_of(*keys, "replayed"),
               text_of(*keys, "too_old"), text_of(*keys, "no_key"), text_of(*keys, "clear"),
               text_of(*keys, "too_short")});
  }
  if (!table.empty()) std::printf("\n%s", table.text().c_str());
}

void print_counters(const Json& status) {
  Table table({{"COUNTER"}, {"COUNT", true}, {"MEANING"}});
  for (const auto& [name, value] : status.at("counters").items()) {
    if (value != 0) table.add({name, value.dump(), describe_counter<regs::Counter>(name, regs::kCounterCount)});
  }
  std::printf("\n%s", table.empty() ? "  no frames yet: all counters are 0\n" : table.text().c_str());
  Table card({{"CARD COUNTER"}, {"COUNT", true}, {"MEANING"}});
  const Json of_card = status.value("card_counters", Json::object());
  for (const auto& [name, value] : of_card.items()) {
    if (value != 0) card.add({name, value.dump(), describe_counter<regs::CardCounter>(name, regs::kCardCounterCount)});
  }
  if (!card.empty()) std::printf("\n%s", card.text().c_str());
  Table carriers({{"CARRIER"},
                  {"FRAMES OUT", true},
                  {"BYTES OUT", true},
                  {"FRAMES IN", true},
                  {"BYTES IN", true},
                  {"NOT SENT", true},
                  {"UNKNOWN PEER", true},
                  {"MALFORMED", true}});
  for (const Json& carrier : status.at("carriers")) {
    if (carrier.at("tx_frames") == 0 && carrier.at("rx_frames") == 0 && carrier.at("rx_unknown_peer") == 0) continue;
    carriers.add({text_of(carrier, "carrier"), text_of(carrier, "tx_frames"),
                  bytes_text(carrier.at("tx_bytes").get<double>()), text_of(carrier, "rx_frames"),
                  bytes_text(carrier.at("rx_bytes").get<double>()), text_of(carrier, "tx_dropped"),
                  text_of(carrier, "rx_unknown_peer"), text_of(carrier, "rx_malformed")});
  }
  if (!carriers.empty()) std::printf("\n%s", carriers.text().c_str());
}

void print_sessions(const Json& sessions) {
  Table table({{"SESSION", true},
               {"PROCESS"},
               {"PID", true},
               {"UID", true},
               {"SLOTS", true},
               {"MEMORY", true},
               {"STATE"},
               {"HEALTH"},
               {"SERVES"}});
  for (const Json& session : sessions) {
    std::string serves;
    for (const Json& service : session.at("services"))
      serves += (serves.empty() ? "" : " ") + service.get<std::string>();
    const bool attached = session.at("attached").get<bool>();
    table.add({text_of(session, "session"), text_of(session, "name"), text_of(session, "pid"), text_of(session, "uid"),
               text_of(session, "slots"), bytes_text(session.at("memory").get<double>()),
               attached ? "attached" : "away", serves.empty() ? "-" : text_of(session, "health"), serves},
              {Colour::bold, Colour::none, Colour::none, Colour::none, Colour::none, Colour::none,
               attached ? Colour::good : Colour::bad});
  }
  std::printf("\n%s", table.empty() ? "  no sessions\n" : table.text().c_str());
}

/// Users by what they hold; root's alone is not worth a table.
void print_clients(const Json& status) {
  const Json& counts = status.value("clients", Json::object());
  const auto count = [&](const char* name) { return counts.value(name, std::uint64_t{0}); };
  if (count("refused") + count("turned_away") + count("cut_off") + count("delayed") != 0) {
    std::printf("  clients   %s requests beyond a user's quota, %s turned away, %s cut off, %s waits for their turn\n",
                text_of(counts, "refused").c_str(), text_of(counts, "turned_away").c_str(),
                text_of(counts, "cut_off").c_str(), text_of(counts, "delayed").c_str());
  }
  Table table({{"USER"},
               {"SESSIONS", true},
               {"SLOTS", true},
               {"MEMORY", true},
               {"SERVICES", true},
               {"OPENING", true},
               {"TOOLS", true},
               {"UNREAD", true}});
  for (const Json& user : status.value("users", Json::array())) {
    table.add({text_of(user, "uid"), text_of(user, "sessions"), text_of(user, "slots"),
               bytes_text(user.at("memory").get<double>()), text_of(user, "services"), text_of(user, "pending_opens"),
               text_of(user, "tool_connections"), bytes_text(user.at("unread").get<double>())},
              {Colour::bold});
  }
  if (!table.empty()) std::printf("\n%s", table.text().c_str());
}

/// Whether a crash of slotwired would lose anything.
void print_keeper(const Json& status) {
  const Json keeper = status.value("keeper", Json::object());
  if (!keeper.contains("state")) return;
  const std::string state = text_of(keeper, "state");
  std::string said = "all that a crash of slotwired would lose is kept";
  if (state == "silent") {
    said = paint(Colour::bad, "SILENT: ") + text_of(keeper, "text") + "; what it keeps stays kept";
  } else if (state != "keeps") {
    said = paint(Colour::bad, "NOT KEPT (" + state + "): ") + text_of(keeper, "text");
    if (state == "hands over") said += text_of(keeper, "waiting") + " sessions and slots are still to be handed over";
  }
  std::printf(
      "  keeper    %s%s\n", said.c_str(),
      keeper.value("starts", 0) == 0 ? "" : (", started again " + text_of(keeper, "starts") + " times").c_str());
}

/// Services of this node, then those of others that processes here connect to and that several nodes serve.
void print_services(const Json& status) {
  Table services({{"SERVICE"}, {"PROCESSES", true}, {"WELL", true}, {"FAILING", true}, {"DRAINED", true}});
  for (const Json& service : status.at("services")) {
    const bool well = service.value("well", 0) != 0;
    services.add({text_of(service, "service"), text_of(service, "processes"), text_of(service, "well"),
                  text_of(service, "failing"), text_of(service, "drained")},
                 {Colour::none, Colour::none, well ? Colour::none : Colour::bad});
  }
  std::printf("\n%s", services.empty() ? "  no services\n" : services.text().c_str());
  Table remote({{"SERVICE"}, {"ON NODE"}, {"HEALTH"}, {"PROCESSES", true}, {"WELL", true}});
  for (const Json& service : status.value("remote_services", Json::array())) {
    const bool failing = service.value("failing", false);
    const bool known = service.value("known", false);
    remote.add(
        {text_of(service, "service"), text_of(service, "node"), failing ? "failing" : (known ? "well" : "not known"),
         known ? text_of(service, "processes") : "-", known ? text_of(service, "well") : "-"},
        {Colour::none, Colour::none, failing ? Colour::bad : (known ? Colour::good : Colour::dim)});
  }
  if (!remote.empty()) std::printf("\n%s", remote.text().c_str());
  Table configured({{"CONFIGURED SERVICE"}, {"ON NODES"}, {"SERVED"}, {"WHY"}});
  for (const Json& service : status.value("configured_services", Json::array())) {
    std::string nodes;
    for (const Json& node : service.value("nodes", Json::array()))
      nodes += (nodes.empty() ? "" : ", ") + control::printable(node.get<std::string>());
    const std::string served = text_of(service, "served");
    configured.add({text_of(service, "service"), nodes, served == "not now" ? "not served now" : served,
                    text_of(service, "reason")},
                   {Colour::none, Colour::none,
                    served == "now" ? Colour::good : (served == "not now" ? Colour::bad : Colour::dim), Colour::none});
  }
  if (!configured.empty()) std::printf("\n%s", configured.text().c_str());
}

/// What was found in the connections of services that are inspected.
void print_inspections(const Json& rows) {
  Table table({{"SERVICE"}, {"LANGUAGE"}, {"MESSAGES", true}, {"INVALID", true}, {"REFUSED", true}, {"MOST"}});
  for (const Json& row : rows) {
    std::uint64_t all = 0;
    std::vector<std::pair<std::uint64_t, std::string>> most;
    for (const auto& [label, count] : row.at("messages").items()) {
      all += count.get<std::uint64_t>();
      most.emplace_back(count.get<std::uint64_t>(), label);
    }
    std::sort(most.rbegin(), most.rend());
    constexpr std::size_t kShown = 4;
    if (most.size() > kShown) most.resize(kShown);
    std::string shown;
    for (const auto& [count, label] : most)
      shown += (shown.empty() ? "" : ", ") + control::printable(label) + ' ' + std::to_string(count);
    const bool invalid = row.value("invalid", 0) != 0;
    table.add({text_of(row, "service"), text_of(row, "language"), std::to_string(all), text_of(row, "invalid"),
               text_of(row, "refused"), shown},
              {Colour::none, Colour::none, Colour::none, invalid ? Colour::bad : Colour::none});
  }
  if (!table.empty()) std::printf("\n%s", table.text().c_str());
}

void print_status(const Json& status) {
  std::printf("node %s: slotwired %s, pid %s, up %s, %s card%s\n", paint(Colour::bold, text_of(status, "node")).c_str(),
              text_of(status, "version").c_str(), text_of(status, "pid").c_str(),
              uptime_text(status.at("uptime_s").get<std::uint64_t>()).c_str(), text_of(status, "card").c_str(),
              status.at("recovered").get<bool>() ? ", took over from an earlier slotwired" : "");
  if (const auto card = status.find("card_chosen"); card != status.end()) {
    std::printf("  card      %s (%s)\n", text_of(*card, "name").c_str(), text_of(*card, "why").c_str());
  }
  if (const Json output = status.value("card_output", Json::object()); output.contains("obstacle")) {
    const std::string obstacle = text_of(output, "obstacle");
    const std::string said = obstacle.empty()
                                 ? "in memory of this host: " + text_of(output, "in_host") + " slots, " +
                                       bytes_text(output.at("mapped").get<double>()) + " mapped for the card"
                                 : "on the card: " + obstacle;
    std::printf("  output    rings %s\n", said.c_str());
  }
  for (const Json& carrier : status.at("carriers")) {
    const auto port = carrier.find("port");
    if (port == carrier.end()) continue;
    const auto conflicts = port->at("arp_conflicts").get<std::uint64_t>();
    const auto queues = port->value("queues", std::uint64_t{1});
    const std::string several = queues == 1
                                    ? ""
                                    : ", " + std::to_string(queues) + " queues (" + text_of(*port, "handed_in") +
                                          " frames handed over, " + text_of(*port, "hand_over_dropped") + " lost)";
    std::printf("  port      %s (%s, %s) at %s, steering by %s, woken by %s, zero copy %s%s%s\n",
                text_of(*port, "device").c_str(), text_of(*port, "driver").c_str(), text_of(*port, "mac").c_str(),
                text_of(*port, "address").c_str(), text_of(*port, "steering").c_str(), text_of(*port, "wake").c_str(),
                text_of(*port, "zero_copy").c_str(), several.c_str(),
                conflicts == 0 ? "" : paint(Colour::bad, ", ANOTHER HOST CLAIMS THE ADDRESS").c_str());
    if (const auto by = carrier.find("encryption"); by != carrier.end())
      std::printf("            encryption by %s (%s)\n", text_of(*by, "library").c_str(), text_of(*by, "why").c_str());
  }
  for (const Json& worker : status.value("workers", Json::array())) {
    std::printf("  worker %s on CPU %s: %s slots, %s frames sent, %s received, slept %s times\n",
                text_of(worker, "queue").c_str(), text_of(worker, "cpu").c_str(), text_of(worker, "slots").c_str(),
                text_of(worker, "tx_frames").c_str(), text_of(worker, "rx_frames").c_str(),
                text_of(worker, "sleeps").c_str());
  }
  const Json& memory = status.at("memory");
  const double total = memory.at("total").get<double>();
  const double free = memory.at("free").get<double>();
  std::printf("  memory    %s of %s used, largest free piece %s\n", bytes_text(total - free).c_str(),
              bytes_text(total).c_str(), bytes_text(memory.at("largest_free").get<double>()).c_str());
  const Json& slots = status.at("slots");
  std::printf("  slots     %s of %s used, %s of them draining\n", text_of(slots, "used").c_str(),
              text_of(slots, "limit").c_str(), text_of(slots, "draining").c_str());
  const Json& sessions = status.at("sessions");
  std::printf("  sessions  %s of %s\n", text_of(sessions, "used").c_str(), text_of(sessions, "limit").c_str());
  if (const Json gate = status.value("gate", Json::object()); gate.contains("pid")) {
    std::printf("  gate      process %s, started %s times; %s of %s callers not proved, %s displaced, %s turned away\n",
                text_of(gate, "pid").c_str(), text_of(gate, "starts").c_str(), text_of(gate, "callers").c_str(),
                text_of(gate, "callers_limit").c_str(), text_of(gate, "displaced").c_str(),
                text_of(gate, "turned_away").c_str());
    if (gate.contains("certificate")) std::printf("  WARNING   %s\n", text_of(gate, "certificate").c_str());
    if (gate.contains("certificate_not_reloaded")) {
      std::printf("  WARNING   certificates not reloaded, the old ones stay: %s\n",
                  text_of(gate, "certificate_not_reloaded").c_str());
    }
  }
  print_keeper(status);
  print_clients(status);
  print_links(status.at("links"));
  print_peers(status.at("links"));
  print_encryption(status.at("links"));
  if (const Table control = congestion_table(status.at("links")); !control.empty()) {
    std::printf("\n%s", control.text().c_str());
  }
  print_services(status);
  print_inspections(status.at("inspections"));
  print_counters(status);
}

int run_status(const StatusOptions& options) {
  ControlClient client(options.common);
  Json status = client.ask(control::StatusRequest{});
  status.erase("id");
  status.erase("ok");
  status["inspections"] = client.ask_all<control::InspectionsRequest>();
  if (options.slots) status["slot_table"] = slots_of(client);
  if (options.sessions) status["session_table"] = client.ask_all<control::SessionsRequest>();
  if (options.common.json) {
    std::printf("%s\n", status.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
    return kExitOk;
  }
  print_status(status);
  if (options.sessions) print_sessions(status.at("session_table"));
  if (options.slots) std::printf("\n%s", slot_text(status.at("slot_table")).c_str());
  return kExitOk;
}

}  // namespace

void add_status(CLI::App& app, Command& command) {
  auto options = std::make_shared<StatusOptions>();
  CLI::App* sub = app.add_subcommand("status", "Show the node, its links, memory, services and counters");
  sub->add_flag("--slots", options->slots, "add the table of 'slotwire slots'");
  sub->add_flag("--sessions", options->sessions, "show every process that has a session");
  add_common(*sub, options->common,
             "print one JSON object; --slots and --sessions add 'slot_table' and 'session_table'");
  sub->footer(
      R"(A link is up when both its control connection and its carrier are; WHY says what is missing, or why a link that chooses
its carrier has no better one. Counters that are 0 are left out. The table of slots is that of 'slotwire slots'.
WELL processes answer slotwired; FAILING ones do not, or say that they are not ready; DRAINED ones get nothing new (slotwire
drain). Nodes are asked about services that several of them serve and that processes here connect to.
ENCRYPTION is that of a link's frames. What an encrypted link got and did not take is counted by its cause: FORGED (altered, or
not from the peer), REPLAYED (came before), TOO OLD (far behind), NO KEY (around a restart of either node), CLEAR (not encrypted).

Examples: slotwire status
          slotwire status --sessions)");
  sub->callback([options, &command] { command = [options] { return run_status(*options); }; });
}

}  // namespace slotwire::cli
