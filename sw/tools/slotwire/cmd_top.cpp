// slotwire top: rates of links and slots while one watches.
#include <sys/ioctl.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>

#include "tools/slotwire/control_client.hpp"
#include "tools/slotwire/link_text.hpp"
#include "tools/slotwire/text.hpp"

namespace slotwire::cli {
namespace {

using std::chrono::microseconds;

struct TopOptions {
  Common common;
  microseconds interval{1'000'000};
  bool once = false;
  std::size_t slots = 20;
};

constexpr double kLineBytes = 64;

/// What was counted at one time.
struct Snapshot {
  std::chrono::steady_clock::time_point at;
  Json status;
  std::map<std::pair<std::uint64_t, std::uint64_t>, Json>
      slots;  ///< by slot number and epoch: a slot used anew starts at 0
};

Snapshot take(ControlClient& client) {
  Snapshot snapshot;
  snapshot.status = client.ask(control::StatusRequest{});
  const Json rows = client.ask_all<control::SlotsRequest>();
  for (const Json& row : rows) {
    snapshot.slots[{row.at("slot").get<std::uint64_t>(), row.value("epoch", std::uint64_t{0})}] = row;
  }
  snapshot.at = std::chrono::steady_clock::now();
  return snapshot;
}

std::uint64_t number(const Json& row, const char* key) {
  return row.value(key, std::uint64_t{0});
}

struct Rates {
  double tx_lines = 0, tx_again = 0, rx_lines = 0;
  std::size_t slots = 0;
  double busy() const { return tx_lines + rx_lines; }
};

// NOLINTNEXTLINE(bugprone-exception-escape): what it moves, a Json, is taken for one that throws
struct View {
  double seconds = 0;
  Json status;
  std::map<std::string, Rates> links;
  std::vector<std::pair<Json, Rates>> slots;  ///< busiest first
  double frames_out = 0, frames_in = 0, bytes_out = 0, bytes_in = 0;
};

View compare(const Snapshot& before, const Snapshot& now) {
  View view;
  view.status = now.status;
  view.seconds = std::max(1e-6, std::chrono::duration<double>(now.at - before.at).count());
  for (const Json& link : now.status.at("links")) view.links[link.at("peer").get<std::string>()];
  for (const auto& [key, row] : now.slots) {
    const auto old = before.slots.find(key);
    const Json& from = old == before.slots.end() ? Json::object() : old->second;
    const auto rate = [&, &row = row](const char* field) {
      const std::uint64_t last = number(row, field);
      const std::uint64_t first = number(from, field);
      return last < first ? 0.0 : static_cast<double>(last - first) / view.seconds;
    };
    const Rates rates{rate("tx_lines"), rate("tx_lines_again"), rate("rx_lines"), 1};
    if (const auto link = view.links.find(row.at("peer_node").get<std::string>());
        link != view.links.end() && row.at("pairing") == "remote") {
      link->second.tx_lines += rates.tx_lines;
      link->second.tx_again += rates.tx_again;
      link->second.rx_lines += rates.rx_lines;
      ++link->second.slots;
    }
    view.slots.emplace_back(row, rates);
  }
  std::stable_sort(view.slots.begin(), view.slots.end(),
                   [](const auto& a, const auto& b) { return a.second.busy() > b.second.busy(); });
  const auto carriers = [&](const Snapshot& snapshot, const char* field) {
    double sum = 0;
    for (const Json& carrier : snapshot.status.at("carriers")) sum += carrier.at(field).get<double>();
    return sum;
  };
  const auto change = [&](const char* field) {
    return (carriers(now, field) - carriers(before, field)) / view.seconds;
  };
  view.frames_out = std::max(0.0, change("tx_frames"));
  view.frames_in = std::max(0.0, change("rx_frames"));
  view.bytes_out = std::max(0.0, change("tx_bytes"));
  view.bytes_in = std::max(0.0, change("rx_bytes"));
  return view;
}

std::string process_text(const Json& row, const char* name, const char* pid) {
  return row.value(name, std::string("-")) + " (" + std::to_string(row.value(pid, std::uint64_t{0})) + ")";
}

/// Columns of the table of links but WHY, without the names of peers and carriers; and the fewest that WHY is worth.
constexpr std::size_t kLinkColumns = 80, kLeastWhy = 20;
/// Of a heading of one of these.
constexpr std::size_t kLeastCell = 7;

/// Of the terminal at standard output; 0: there is none, and lines may be of any length.
std::size_t terminal_columns() {
  winsize size{};
  return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

void print_text(const View& view, std::size_t most) {
  std::printf("node %s  %s of %s slots  out %s frames/s %s/s  in %s frames/s %s/s\n",
              paint(Colour::bold, view.status.at("node").get<std::string>()).c_str(),
              view.status.at("slots").at("used").dump().c_str(), view.status.at("slots").at("limit").dump().c_str(),
              count_text(view.frames_out).c_str(), bytes_text(view.bytes_out).c_str(),
              count_text(view.frames_in).c_str(), bytes_text(view.bytes_in).c_str());
  // A picture on a terminal keeps to its width.
  const std::size_t columns = terminal_columns();
  std::size_t taken = kLinkColumns;
  for (const Json& link : view.status.at("links")) {
    const std::size_t peer = std::max(kLeastCell, link.at("peer").get<std::string>().size());
    taken = std::max(taken, kLinkColumns + peer + std::max(kLeastCell, describe_link(link).carrier.size()));
  }
  const std::size_t room = columns == 0 ? std::string::npos : columns - std::min(columns, taken);
  Table links({{"LINK"},
               {"CARRIER"},
               {"STATE"},
               {"SLOTS", true},
               {"LINES OUT/s", true},
               {"OUT/s", true},
               {"AGAIN/s", true},
               {"LINES IN/s", true},
               {"IN/s", true},
               {room < kLeastWhy ? "" : "WHY"}});
  for (const Json& link : view.status.at("links")) {
    const Rates& rates = view.links.at(link.at("peer").get<std::string>());
    const bool up = link.at("up").get<bool>();
    const LinkText said = describe_link(link);
    links.add({link.at("peer").get<std::string>(), said.carrier, up ? "up" : "down", std::to_string(rates.slots),
               count_text(rates.tx_lines), bytes_text(rates.tx_lines * kLineBytes), count_text(rates.tx_again),
               count_text(rates.rx_lines), bytes_text(rates.rx_lines * kLineBytes),
               room < kLeastWhy ? std::string() : said.why.substr(0, room)},
              {Colour::bold, Colour::none, up ? Colour::good : Colour::bad, Colour::none, Colour::none, Colour::none,
               rates.tx_again > 0 ? Colour::bad : Colour::none});
  }
  if (!links.empty()) std::printf("%s", links.text("").c_str());
  if (const Table control = congestion_table(view.status.at("links")); !control.empty()) {
    std::printf("%s", control.text("").c_str());
  }
  Table slots({{"SLOT", true},
               {"SERVICE"},
               {"PROCESS"},
               {"PEER"},
               {"LINES OUT/s", true},
               {"OUT/s", true},
               {"AGAIN/s", true},
               {"LINES IN/s", true},
               {"IN/s", true}});
  std::size_t direct = 0;
  std::size_t shown = 0;
  for (const auto& [row, rates] : view.slots) {
    if (row.at("pairing") == "direct") {
      ++direct;
      continue;
    }
    if (shown++ >= most) continue;
    slots.add({row.at("slot").dump(), row.at("service").get<std::string>(), process_text(row, "name", "pid"),
               process_text(row, "peer_name", "peer_pid") + "@" + row.at("peer_node").get<std::string>(),
               count_text(rates.tx_lines), bytes_text(rates.tx_lines * kLineBytes), count_text(rates.tx_again),
               count_text(rates.rx_lines), bytes_text(rates.rx_lines * kLineBytes)});
  }
  if (!slots.empty()) std::printf("%s", slots.text("").c_str());
  if (shown > most) std::printf("and %zu slots more (--slots N shows more)\n", shown - most);
  if (direct != 0)
    std::printf("%zu slots are direct pairs: their processes share a ring, no proxy sees their lines\n", direct);
}

void print_json(const View& view, std::size_t most) {
  Json links = Json::array();
  for (const Json& link : view.status.at("links")) {
    const Rates& rates = view.links.at(link.at("peer").get<std::string>());
    const LinkText said = describe_link(link);
    links.push_back({{"congestion", link.value("congestion", Json())},
                     {"peer", link.at("peer")},
                     {"carrier", said.carrier},
                     {"why", said.why},
                     {"up", link.at("up")},
                     {"slots", rates.slots},
                     {"tx_lines_per_s", rates.tx_lines},
                     {"tx_lines_again_per_s", rates.tx_again},
                     {"rx_lines_per_s", rates.rx_lines}});
  }
  Json slots = Json::array();
  for (const auto& [row, rates] : view.slots) {
    if (slots.size() == most) break;
    slots.push_back({{"slot", row.at("slot")},
                     {"service", row.at("service")},
                     {"pairing", row.at("pairing")},
                     {"peer_node", row.at("peer_node")},
                     {"tx_lines_per_s", rates.tx_lines},
                     {"tx_lines_again_per_s", rates.tx_again},
                     {"rx_lines_per_s", rates.rx_lines}});
  }
  const Json out{{"node", view.status.at("node")},
                 {"seconds", view.seconds},
                 {"tx_frames_per_s", view.frames_out},
                 {"rx_frames_per_s", view.frames_in},
                 {"tx_bytes_per_s", view.bytes_out},
                 {"rx_bytes_per_s", view.bytes_in},
                 {"links", links},
                 {"slots", slots}};
  std::printf("%s\n", out.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
}

int run_top(const TopOptions& options) {
  StopSignal stop;
  const bool terminal = ::isatty(STDOUT_FILENO) == 1 && !options.common.json && !options.once;
  std::optional<ControlClient> client;
  std::optional<Snapshot> before;
  while (true) {
    bool printed = false;
    try {
      if (!client) client.emplace(options.common);
      Snapshot now = take(*client);
      if (before) {
        const View view = compare(*before, now);
        if (terminal) std::fputs("\033[H\033[2J", stdout);
        options.common.json ? print_json(view, options.slots) : print_text(view, options.slots);
        printed = true;
      }
      before = std::move(now);
    } catch (const CommandError& error) {
      // A node that was seen once is waited for: it is being restarted.
      if (!before || options.once) throw;
      client.reset();
      std::fprintf(stderr, "slotwire: %s\n", error.what());
    }
    if (printed) {
      flush_output();
      if (options.once) return kExitOk;
    }
    if (stop.wait(options.interval)) return kExitOk;
  }
}

}  // namespace

void add_top(CLI::App& app, Command& command) {
  auto options = std::make_shared<TopOptions>();
  CLI::App* sub = app.add_subcommand("top", "Show live rates of links and slots, busiest first");
  add_duration(*sub, "-i,--interval", options->interval, microseconds(10'000), microseconds(3'600'000'000),
               "time between two pictures, and what rates are taken over (default 1s)");
  sub->add_flag("--once", options->once, "one picture, after one interval");
  sub->add_option("--slots", options->slots, "slots shown at most")->capture_default_str()->check(CLI::Range(0, 65536));
  add_common(*sub, options->common, "print one JSON object a line for each interval");
  sub->footer(
      R"(CARRIER and WHY are those of 'slotwire status'; WHY is cut, or left out, where a terminal has no room for it.
AGAIN counts lines that were sent again: more than a few mean that frames are lost on the way or that the
retransmission timeout (protocol.retransmit) is too short. On a terminal the screen is redrawn; otherwise
pictures follow one another. Ends by Ctrl-C.

Example: slotwire top -i 250ms)");
  sub->callback([options, &command] { command = [options] { return run_top(*options); }; });
}

}  // namespace slotwire::cli
