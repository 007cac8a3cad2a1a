// slotwire blocks: who publishes and who subscribes on this host, and how far each one is.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "runtime/blocks/region_report.hpp"
#include "runtime/control/printable.hpp"
#include "runtime/control/tool_client.hpp"
#include "tools/slotwire/blocks_link/blocks_link.hpp"
#include "tools/slotwire/common.hpp"
#include "tools/slotwire/control_client.hpp"
#include "tools/slotwire/text.hpp"

namespace slotwire::cli {
namespace {

/// Marks processes that bring messages from other nodes, or take them there.
constexpr const char* kLink = " (link)";

struct BlocksOptions {
  std::string region;
  std::string socket;
  bool json = false;
  bool processes = false;
  bool held = false;
  std::string held_topic;  ///< of the lists that --held shows; empty: all
};

Json json_of(const blocks::RegionReport& report) {
  Json publishers = Json::array();
  for (const blocks::PublisherReport& publisher : report.publishers) {
    Json subscribers = Json::array();
    for (const blocks::SubscriberReport& one : publisher.subscribers) {
      subscribers.push_back({{"pid", one.pid},
                             {"overflow", blocks::name(one.overflow)},
                             {"released", one.released},
                             {"held", one.held},
                             {"behind_bytes", one.behind_bytes},
                             {"sleeps", one.sleeps},
                             {"for_link", one.for_link}});
    }
    publishers.push_back({{"topic", publisher.topic},
                          {"pid", publisher.pid},
                          {"for_link", publisher.for_link},
                          {"block_bytes", publisher.block_bytes},
                          {"entries", publisher.entries},
                          {"published", publisher.published},
                          {"oldest", publisher.oldest},
                          {"kept_bytes", publisher.kept_bytes},
                          {"waits_for_room", publisher.sleeps},
                          {"subscribers", subscribers}});
  }
  Json idle = Json::array();
  for (const auto& one : report.idle) idle.push_back({{"topic", one.topic}, {"pid", one.pid}});
  return {{"region", report.name}, {"processes", report.processes}, {"publishers", publishers}, {"idle", idle}};
}

void print(const blocks::RegionReport& report) {
  std::printf("Region %s: %zu processes\n", report.name.c_str(), report.processes);
  Table table({{"TOPIC"},
               {"PUBLISHER", true},
               {"MEMORY", true},
               {"PUBLISHED", true},
               {"KEPT", true},
               {"SUBSCRIBER", true},
               {"OVERFLOW"},
               {"BEHIND", true},
               {"WAITS"}});
  for (const blocks::PublisherReport& publisher : report.publishers) {
    std::vector<std::string> row{
        control::printable(publisher.topic), std::to_string(publisher.pid) + (publisher.for_link ? kLink : ""),
        bytes_text(static_cast<double>(publisher.block_bytes)), std::to_string(publisher.published),
        std::to_string(publisher.published - publisher.oldest)};
    const std::string waits = publisher.sleeps ? "publisher, for room" : "";
    if (publisher.subscribers.empty()) {
      row.insert(row.end(), {"-", "-", "-", waits});
      table.add(row);
    }
    for (const blocks::SubscriberReport& one : publisher.subscribers) {
      const blocks::Position behind = publisher.published - std::min(one.released, publisher.published);
      std::vector<std::string> all = row;
      all.insert(all.end(), {std::to_string(one.pid) + (one.for_link ? kLink : ""), blocks::name(one.overflow),
                             std::to_string(behind), one.sleeps ? "subscriber, for a message" : waits});
      table.add(all);
      row = {"", "", "", "", ""};
    }
  }
  for (const auto& one : report.idle)
    table.add(
        {control::printable(one.topic), "-", "-", "-", "-", std::to_string(one.pid), "-", "-", "nobody publishes"});
  std::printf("%s", table.empty() ? "  nobody publishes or subscribes\n" : table.text().c_str());
}

/// Each message list once for each process that has a part in it: what it sends, and what it has to take.
void print_processes(const blocks::RegionReport& report) {
  struct Row {
    std::uint32_t pid;
    std::vector<std::string> cells;
  };
  std::vector<Row> rows;
  const auto add = [&](std::uint32_t pid, bool for_link, std::vector<std::string> cells) {
    cells.insert(cells.begin(), std::to_string(pid) + (for_link ? kLink : ""));
    rows.push_back({pid, std::move(cells)});
  };
  for (const blocks::PublisherReport& list : report.publishers) {
    std::string takers;
    for (const blocks::SubscriberReport& one : list.subscribers) {
      takers += (takers.empty() ? "" : " ") + std::to_string(one.pid);
      const blocks::Position first = std::max(std::min(one.released, list.published), list.oldest);
      add(one.pid, one.for_link,
          {control::printable(list.topic), "in", std::to_string(list.published - first),
           bytes_text(static_cast<double>(one.behind_bytes)), std::to_string(one.held), std::to_string(list.pid)});
    }
    add(list.pid, list.for_link,
        {control::printable(list.topic), "out", std::to_string(list.published - list.oldest),
         bytes_text(static_cast<double>(list.kept_bytes)), "-", takers.empty() ? "nobody" : takers});
  }
  for (const auto& one : report.idle)
    add(one.pid, false, {control::printable(one.topic), "in", "0", "0", "0", "nobody"});
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.pid < b.pid; });
  Table table(
      {{"PROCESS", true}, {"TOPIC"}, {"DIRECTION"}, {"BLOCKS", true}, {"BYTES", true}, {"HELD", true}, {"WITH"}});
  for (Row& row : rows) table.add(std::move(row.cells));
  if (!table.empty()) std::printf("%s", table.text().c_str());
}

/// The regions that the node's slotwired has, of all users; none where there is no slotwired.
Json regions_of_engine(const BlocksOptions& options) {
  try {
    control::ToolClient engine(options.socket.empty() ? control::default_socket_path() : options.socket);
    return engine.ask_all<control::RegionsRequest>();
  } catch (const control::ToolError&) {
    return Json::array();
  }
}

std::string text_in(const Json& row, const char* key) {
  return control::printable(row.value(key, ""));
}

/// What slotwired has beyond what this process sees itself: regions of other users, and those whose memory nobody but
/// slotwired shares with a process.
void print_engine(const Json& rows) {
  if (rows.empty()) return;
  std::printf("Kept by slotwired:\n");
  Table table({{"REGION"},
               {"USER", true},
               {"ISOLATION"},
               {"PROCESSES", true},
               {"PUBLISHERS", true},
               {"SUBSCRIBERS", true},
               {"MEMORY", true},
               {"ORIGIN"}});
  for (const Json& row : rows) {
    table.add({text_in(row, "region"), std::to_string(row.value("uid", 0U)), text_in(row, "isolation"),
               std::to_string(row.value("processes", 0U)), std::to_string(row.value("publishers", 0U)),
               std::to_string(row.value("subscribers", 0U)), bytes_text(row.value("memory", 0.0)),
               text_in(row, "origin")});
  }
  std::printf("%s", table.text().c_str());
}

/// Rows of slotwired's that fit --region, and a topic in `key` if one was given.
Json fitting(const Json& rows, const BlocksOptions& options, const char* key) {
  Json found = Json::array();
  for (const Json& row : rows) {
    if (!options.region.empty() && row.value("region", "") != options.region) continue;
    if (key != nullptr && !options.held_topic.empty() && row.value(key, "") != options.held_topic) continue;
    found.push_back(row);
  }
  return found;
}

std::string joined(const Json& texts) {
  std::string all;
  for (const Json& text : texts) all += (all.empty() ? "" : " ") + control::printable(text.get<std::string>());
  return all.empty() ? "-" : all;
}

void print_attached(const Json& rows) {
  Table table({{"PROCESS", true},
               {"USER", true},
               {"REGION"},
               {"ISOLATION"},
               {"UNIT"},
               {"FOR", true},
               {"MEMORY", true},
               {"MOST", true},
               {"GREW", true},
               {"ROOM", true},
               {"WRITES"},
               {"READS"}});
  for (const Json& row : rows) {
    table.add({std::to_string(row.value("pid", 0U)), std::to_string(row.value("uid", 0U)), text_in(row, "region"),
               text_in(row, "isolation"), row.value("unit", "").empty() ? "-" : text_in(row, "unit"),
               uptime_text(row.value("registered_s", std::uint64_t{0})), bytes_text(row.value("memory", 0.0)),
               bytes_text(row.value("most_memory", 0.0)), std::to_string(row.value("growths", 0U)),
               bytes_text(row.value("user_room", 0.0)), joined(row.value("writes", Json::array())),
               joined(row.value("reads", Json::array()))});
  }
  std::printf("%s", table.empty() ? "  no process is attached to a region\n" : table.text().c_str());
}

void print_held(const Json& lists) {
  Table table({{"REGION"},
               {"TOPIC"},
               {"PUBLISHER"},
               {"BLOCK", true},
               {"OFFSET", true},
               {"BYTES", true},
               {"STATE"},
               {"HOLDERS"}});
  for (const Json& list : lists) {
    const std::string publisher =
        std::to_string(list.value("publisher", 0U)) + (list.value("published", true) ? "" : " (gone)");
    const auto add = [&](std::vector<std::string> cells) {
      cells.insert(cells.begin(), {text_in(list, "region"), text_in(list, "topic"), publisher});
      table.add(std::move(cells));
    };
    for (const Json& block : list.value("blocks", Json::array())) {
      std::string holders;
      for (const Json& holder : block.value("holders", Json::array())) {
        holders += (holders.empty() ? "" : " ") + std::to_string(holder.value("pid", 0U)) +
                   (holder.value("claim", "") == "held" ? "" : "?");
      }
      if (const auto more = block.value("more_holders", std::uint64_t{0}); more != 0)
        holders += " and " + std::to_string(more) + " more";
      const auto number = [&](const char* key) {
        return block.contains(key) ? std::to_string(block.value(key, std::uint64_t{0})) : "-";
      };
      add({number("position"), number("offset"), number("bytes"), text_in(block, "state"),
           holders.empty() ? "nobody" : holders});
    }
    if (const auto more = list.value("more", std::uint64_t{0}); more != 0)
      add({"...", "-", "-", "and " + std::to_string(more) + " more", "-"});
    if (list.contains("damage")) add({"-", "-", "-", "not a list: " + text_in(list, "damage"), "-"});
  }
  std::printf("\n%s", table.empty() ? "  no block is in use\n" : table.text().c_str());
}

/// The descriptors that slotwired has.
int run_held(const BlocksOptions& options) {
  Common common;
  common.socket = options.socket;
  ControlClient engine(common);
  const Json attached = fitting(engine.ask_all<control::AttachedRequest>(), options, nullptr);
  const Json lists = fitting(engine.ask_all<control::BlocksRequest>(), options, "topic");
  if (options.json) {
    const Json all{{"attached", attached}, {"lists", lists}};
    std::printf("%s\n", all.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    print_attached(attached);
    print_held(lists);
  }
  return kExitOk;
}

/// What the processes of this user share in a region: printed, or with --json returned; null if nobody is attached.
/// With --json a region that slotwired has, too, takes its row out of `kept`.
Json show_region(const std::string& name, const BlocksOptions& options, Json& kept) {
  blocks::Region region(name, std::chrono::seconds(10), blocks::Region::Engine::left_out);
  const blocks::RegionReport report = blocks::report_on(region);
  if (report.processes == 0) return nullptr;  // the last one left just now
  if (!options.json) {
    print(report);
    if (options.processes) print_processes(report);
    return nullptr;
  }
  Json shown = json_of(report);
  for (Json& row : kept) {
    const bool own = row.value("uid", 0U) == ::geteuid() && row.value("isolation", "") == "shared";
    if (own && row.value("region", "") == name) shown["node"] = std::exchange(row, Json::object());
  }
  return shown;
}

int run_blocks(const BlocksOptions& options) {
  if (options.held) return run_held(options);
  std::vector<std::string> names = blocks::region_names();
  Json kept = regions_of_engine(options);
  if (!options.region.empty()) {
    for (std::size_t i = kept.size(); i-- > 0;) {
      if (kept[i].value("region", "") != options.region) kept.erase(i);
    }
    if (kept.empty() && std::find(names.begin(), names.end(), options.region) == names.end()) {
      throw CommandError(kExitFailed, "no process of this user is attached to region '" + options.region +
                                          "' (slotwire blocks without --region lists those that there are)");
    }
    std::erase_if(names, [&](const std::string& name) { return name != options.region; });
  }
  Json all = Json::array();
  bool failed = false;
  for (const std::string& name : names) {
    try {
      Json region = show_region(name, options, kept);
      if (!region.is_null()) all.push_back(std::move(region));
    } catch (const std::exception& problem) {  // one that is damaged does not hide the others
      failed = true;
      std::fprintf(stderr, "slotwire blocks: region '%s': %s\n", control::printable(name).c_str(), problem.what());
      all.push_back({{"region", name}, {"problem", problem.what()}});
    }
  }
  if (options.json) {
    for (Json& row : kept) {
      if (!row.empty()) all.push_back({{"region", row.value("region", "")}, {"node", row}});
    }
    std::printf("%s\n", all.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
  } else if (names.empty() && kept.empty()) {
    std::printf("No regions: no process of this user publishes or subscribes.\n");
  } else {
    print_engine(kept);
  }
  return failed ? kExitFailed : kExitOk;
}

void add_link(CLI::App& blocks, Command& command) {
  auto options = std::make_shared<blocks_link::LinkOptions>();
  CLI::App* sub = blocks.add_subcommand("link", "Carry what is published in a region between nodes");
  sub->add_option("--region", options->region, "the region, of the same name on all nodes")->required();
  sub->add_option("--peer", options->peers, "a node whose messages are wanted here; may be given several times");
  sub->add_option("--socket", options->common.socket, "control socket of slotwired");
  add_size(*sub, "--memory", options->block_bytes, 4096, std::uint64_t{1} << 30,
           "memory for messages of one topic of one peer, which limits the size of a message");
  sub->add_option("--max-topics", options->topics, "topics at most, for each peer")->check(CLI::Range(1, 256));
  sub->footer(
      R"(Runs on every node of the region, as the user whose region it is. It takes one copy of each message over the link, however many
processes subscribe on the other node; subscribers with overflow 'block' there make the publisher here wait, as those of this node do.
Each node's slotwired must know where the others are served:

  [[service]]
  name = "blocks/prices/right"      # blocks/REGION/NODE
  nodes = ["right"]

Example: slotwire blocks link --region prices --peer right)");
  sub->callback([options, &command] { command = [options] { return blocks_link::run_link(*options); }; });
}

}  // namespace

void add_blocks(CLI::App& app, Command& command) {
  auto options = std::make_shared<BlocksOptions>();
  CLI::App* sub =
      app.add_subcommand("blocks", "Show who publishes and subscribes blocks of shared memory on this host");
  sub->add_option("--region", options->region, "this region only");
  CLI::Option* const processes =
      sub->add_flag("--processes", options->processes, "also list by process: each message list that it has a part in");
  sub->add_option_function<std::vector<std::string>>(
         "--held",
         [options](const std::vector<std::string>& topic) {
           options->held = true;
           if (!topic.empty()) options->held_topic = topic.front();
         },
         "show what slotwired knows of each process and each block that is in use, of all topics or of one")
      ->expected(0, 1)
      ->type_name("[TOPIC]")
      ->excludes(processes);
  sub->add_flag("--json", options->json,
                "print one JSON array, an object for each region; with --held one object with 'attached' and 'lists'");
  sub->add_option("--socket", options->socket,
                  "control socket of slotwired (default: $SLOTWIRE_SOCKET, else /run/slotwire/slotwire.sock)");
  sub->footer(
      R"(KEPT counts the messages that a publisher still has, BEHIND those that a subscriber has not released yet. A subscriber with
overflow 'block' makes its publisher wait when all blocks or entries are behind it; 'drop-oldest' loses messages instead, and 'fail'
makes the publisher's call fail. Needs no slotwired, and shows what processes of the same user share; where a slotwired runs, also the
regions of all users that it keeps (in JSON: 'node'), with the memory that their publishers have. A region that cannot be read is
named on standard error (in JSON: 'problem'), the others are shown, and the exit status is 1.

With --processes each line is a message list as one process has it: DIRECTION out, what it published and still keeps for others, or in,
what it has not released; BLOCKS are messages, BYTES what is in them, HELD those that it named as held, WITH the other ends.

With --held it shows slotwired's descriptors: each attached process (FOR how long, MEMORY of its lists, the MOST that it had, how
often it GREW, the ROOM that is left to its user), and each block that is in use, at most 32 of a list, the oldest first. A HOLDER has
the message as a view; one with '?' must lose nothing and has not released it: it has it as a view, or has yet to take it. A publisher
that is gone is shown as long as somebody may read its blocks. You see your own regions, root and slotwired's user see all.

Examples: slotwire blocks
          slotwire blocks --held eur
          slotwire blocks --region prices --json | jq '.[0].publishers[].subscribers')");
  sub->callback([options, sub, &command] {
    if (sub->get_subcommands().empty()) command = [options] { return run_blocks(*options); };
  });
  add_link(*sub, command);
}

}  // namespace slotwire::cli
