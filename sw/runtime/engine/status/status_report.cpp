#include "runtime/engine/status/status_report.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <utility>
#include <vector>

namespace slotwire::engine {
namespace {

/// Nodes of a service that are named.
constexpr std::size_t kNodesShown = 8;

using control::Json;

std::string_view pairing_name(Pairing pairing) {
  switch (pairing) {
    case Pairing::none:
      return "none";
    case Pairing::opening:
      return "opening";
    case Pairing::remote:
      return "remote";
    case Pairing::direct:
      return "direct";
    case Pairing::strict:
      return "strict";
    case Pairing::spare:
      return "spare";
  }
  return "unknown";
}

std::string_view phase_name(const SlotDescriptor& d) {
  switch (d.phase) {
    case Phase::open:
      return "open";
    case Phase::draining:
      return "draining";
    case Phase::peer_gone:
      return control::end_name(d.end);
  }
  return "unknown";
}

Json keys_json(const carriers::LinkKeys& keys) {
  const carriers::LinkKeyCounters& c = keys.counters();
  return Json{{"library", keys.library().name()},
              {"tx_key", keys.tx_key()},
              {"tx_key_frames", keys.tx_frames()},
              {"tx_keys", c.tx_keys},
              {"rx_keys", c.rx_keys},
              {"sealed", c.sealed},
              {"not_sealed", c.not_sealed},
              {"opened", c.opened},
              {"clear", c.clear},
              {"too_short", c.too_short},
              {"no_key", c.no_key},
              {"too_old", c.too_old},
              {"replayed", c.replayed},
              {"forged", c.forged}};
}

Json congestion_json(const driver::LinkFlowStatus& status) {
  const pipeline::FlowReport& flow = status.flow;
  return Json{{"algorithm", status.algorithm},
              {"window_lines", flow.window},
              {"inflight_lines", flow.inflight},
              {"pace_lines_per_s", (std::uint64_t{flow.pace} * 1'000'000) >> congestion::kPaceBits},
              {"srtt_us", flow.srtt_us},
              {"least_rtt_us", flow.least_us},
              {"timeout_us", flow.timeout_us},
              {"lost_nak", flow.lost_nak},
              {"lost_timeout", flow.lost_timeout},
              {"lost_link", flow.lost_link},
              {"reordered", flow.reordered},
              {"tail_probes", flow.tail_probes},
              {"marked", flow.marked},
              {"rounds", flow.rounds},
              {"limited_by", congestion::name_of(flow.limit)},
              {"trips", status.trips}};
}

/// Gathers what `show(i)` returns for indices from `from` on, until `max` rows or `end`.
template <class Has, class Show>
Json page(const char* name, std::uint64_t from, std::uint64_t max, std::size_t end, Has has, Show show) {
  Json rows = Json::array();
  std::int64_t next = -1;
  for (std::uint64_t i = from; i < end; ++i) {
    if (!has(static_cast<std::size_t>(i))) continue;
    if (rows.size() == max) {
      next = static_cast<std::int64_t>(i);
      break;
    }
    rows.push_back(show(static_cast<std::size_t>(i)));
  }
  return Json{{name, std::move(rows)}, {"next", next}};
}

}  // namespace

Json StatusReport::links() {
  Json links = Json::array();
  for (const auto& peer : parts_.peers.all()) {
    if (!peer) continue;
    Json link{{"peer", peer->name()},
              {"link", peer->link.index},
              {"carrier", peer->link.config->carrier},
              {"up", peer->usable()},
              {"carrier_up", peer->carrier_up},
              {"control_up", peer->control_up},
              {"dials", peer->link.config->dial},
              {"reason", peer->usable() ? peer->transport->complaint(peer->link.index) : peer->reason},
              {"control_connects", peer->control_connects},
              {"refused", peer->refused},
              {"down_s", parts_.peers.down_us(*peer) / 1'000'000},
              {"slots", parts_.accounts.held(peer->name(), PeerResource::slots)},
              {"memory", parts_.accounts.held(peer->name(), PeerResource::memory)},
              {"pending_opens", parts_.accounts.held(peer->name(), PeerResource::pending_opens)},
              {"refused_opens", parts_.accounts.refused(peer->name())},
              {"encryption", peer->transport->encryption(peer->link)}};
    link["authenticated"] = link["encryption"] != "none";
    peer->transport->report_link(peer->link.index, link);
    if (const carriers::LinkKeys* const keys = peer->transport->keys(peer->link.index)) link["keys"] = keys_json(*keys);
    if (const auto flow = parts_.card.card().flow(peer->link.index)) link["congestion"] = congestion_json(*flow);
    links.push_back(std::move(link));
  }
  return links;
}

Json StatusReport::services() {
  Json services = Json::array();
  parts_.services.each(control::kMaxPage, [&](const std::string& name, std::size_t processes) {
    std::array<std::size_t, 3> count{};
    parts_.services.each_of(
        name, [&](std::uint32_t session) { ++count[static_cast<std::size_t>(parts_.health.of(session))]; });
    services.push_back({{"service", name},
                        {"processes", processes},
                        {"well", count[static_cast<std::size_t>(control::Health::well)]},
                        {"failing", count[static_cast<std::size_t>(control::Health::failing)]},
                        {"drained", count[static_cast<std::size_t>(control::Health::drained)]}});
  });
  return services;
}

/// Services of other nodes that are asked about; the first page.
Json StatusReport::remote_services() {
  Json rows = Json::array();
  parts_.node_health.each(control::kMaxPage,
                          [&](const std::string& service, const std::string& node, const RemoteHealth& health) {
                            rows.push_back({{"service", service},
                                            {"node", node},
                                            {"failing", health.count.failing()},
                                            {"known", health.known},
                                            {"processes", health.processes},
                                            {"well", health.well}});
                          });
  return rows;
}

/// Services that [[service]] tables name, whether anybody serves them or not; the first page.
Json StatusReport::configured_services() {
  Json rows = Json::array();
  std::map<std::pair<std::string, std::string>, const RemoteHealth*> asked;
  parts_.node_health.each(std::numeric_limits<std::size_t>::max(),
                          [&](const std::string& service, const std::string& node, const RemoteHealth& health) {
                            asked[{service, node}] = &health;
                          });
  parts_.directory.each(control::kMaxPage, [&](const std::string& service, const std::vector<std::string>& nodes) {
    // Of a node that was never asked, or has not answered, nothing is known.
    bool served = parts_.health.of_service(service).processes != 0, unknown = false;
    std::string down;
    Json named = Json::array();
    for (const std::string& node : nodes) {
      if (named.size() < kNodesShown) named.push_back(node);
      if (node == parts_.config.node.name) continue;
      const Peer* const peer = parts_.peers.find(node);
      if (peer == nullptr || !peer->usable()) {
        down += (down.empty() ? "" : "; ") + (peer == nullptr ? "there is no [[link]] to '" + node + "'"
                                                              : "the link to '" + node + "' is down: " + peer->reason);
        continue;
      }
      const auto found = asked.find({service, node});
      const bool known = found != asked.end() && found->second->known;
      unknown = unknown || !known;
      served = served || (known && found->second->processes != 0);
    }
    rows.push_back({{"service", service},
                    {"nodes", std::move(named)},
                    {"served", served    ? "now"
                               : unknown ? "not known"
                                         : "not now"},
                    {"reason", served ? std::string() : down.substr(0, control::kMaxText)}});
  });
  return rows;
}

Json StatusReport::counters() {
  Json counters = Json::object();
  for (std::size_t i = 0; i < regs::kCounterCount; ++i) {
    const auto counter = static_cast<regs::Counter>(i);
    counters[std::string(regs::name(counter))] = parts_.card.card().counter(counter);
  }
  return counters;
}

/// What only a card counts; nothing where there is none.
Json StatusReport::card_counters() {
  Json counters = Json::object();
  if (parts_.card.card().info() == nullptr) return counters;
  for (std::size_t i = 0; i < regs::kCardCounterCount; ++i) {
    const auto counter = static_cast<regs::CardCounter>(i);
    counters[std::string(regs::name(counter))] = parts_.card.card().counter(counter);
  }
  return counters;
}

/// Where the card has output rings: in memory of this host as far as it can. Nothing where there is no card.
Json StatusReport::card_output() {
  const std::optional<driver::HostMemoryReport> host = parts_.card.card().host_memory();
  if (!host) return Json::object();
  return Json{{"in_host", host->slots}, {"mapped", host->bytes}, {"obstacle", host->obstacle}};
}

/// The threads that move slots of some links; none: the main thread moves all.
Json StatusReport::workers() {
  Json workers = Json::array();
  for (std::size_t worker = 0; worker < parts_.card.workers(); ++worker) {
    const driver::WorkerReport report = parts_.card.report(worker);
    const auto count = [&](regs::Counter counter) { return report.counters[static_cast<std::size_t>(counter)]; };
    workers.push_back({{"queue", worker},
                       {"cpu", parts_.config.dpdk.lcores[worker]},
                       {"slots", report.slots},
                       {"sleeps", report.sleeps},
                       {"tx_frames", count(regs::Counter::tx_frames)},
                       {"tx_lines", count(regs::Counter::tx_lines)},
                       {"rx_frames", count(regs::Counter::rx_frames)},
                       {"rx_lines", count(regs::Counter::rx_lines)}});
  }
  return workers;
}

/// Who holds what; the first page, by slots.
Json StatusReport::users() {
  Json users = Json::array();
  parts_.users.each(control::kMaxPage, [&](uid_t uid, const Holdings& held) {
    const auto of = [&](Resource resource) { return held[static_cast<std::size_t>(resource)]; };
    users.push_back({{"uid", uid},
                     {"sessions", of(Resource::sessions)},
                     {"slots", of(Resource::slots)},
                     {"memory", of(Resource::memory)},
                     {"mapped", of(Resource::mapped)},
                     {"services", of(Resource::services)},
                     {"pending_opens", of(Resource::pending_opens)},
                     {"tool_connections", of(Resource::tool_connections)},
                     {"unread", of(Resource::unread)},
                     {"regions", of(Resource::regions)},
                     {"block_memory", of(Resource::block_memory)}});
  });
  return users;
}

Json StatusReport::keeper() {
  const StoreReport report = parts_.store.report();
  return Json{{"state", report.state}, {"processes", report.processes}, {"starts", report.starts},
              {"kept", report.kept},   {"waiting", report.waiting},     {"lost", report.lost},
              {"text", report.text}};
}

Json StatusReport::node() {
  driver::Card& card = parts_.card.card();
  card.refresh({});
  const blocks::BuddyStats memory = parts_.slots.memory();
  const NodeCard::Chosen& chosen = parts_.card.chosen();
  return Json{
      {"node", parts_.config.node.name},
      {"version", SLOTWIRE_VERSION},
      {"pid", ::getpid()},
      {"uptime_s", (parts_.clock.now_us() - started_us_) / 1'000'000},
      {"card", card.capabilities().kind},
      {"card_chosen", {{"kind", chosen.kind}, {"name", chosen.name}, {"why", chosen.why}}},
      {"recovered", parts_.recovered},
      {"lives", parts_.admin.header().lives},
      {"sleeps", parts_.sleeps},
      {"workers", workers()},
      {"slots",
       {{"used", parts_.slots.used()},
        {"limit", parts_.config.limits.slots},
        {"draining", parts_.slots.draining()},
        {"spare", parts_.slots.spares()}}},
      {"users", users()},
      {"user_count", parts_.users.users()},
      {"clients",
       {{"refused", parts_.users.counters().refused},
        {"turned_away", parts_.users.counters().turned_away},
        {"cut_off", parts_.users.counters().cut_off},
        {"delayed", parts_.users.counters().delayed}}},
      {"sessions", {{"used", parts_.sessions.used()}, {"limit", parts_.sessions.limit()}}},
      {"memory",
       {{"total", memory.total_bytes}, {"free", memory.free_bytes}, {"largest_free", memory.largest_free_bytes}}},
      {"links", links()},
      {"gate", parts_.peers.network().report()},
      {"keeper", keeper()},
      {"services", services()},
      {"remote_services", remote_services()},
      {"configured_services", configured_services()},
      {"service_count", parts_.services.size()},
      {"regions", {{"used", parts_.regions.size()}, {"limit", parts_.config.limits.regions}}},
      {"counters", counters()},
      {"card_counters", card_counters()},
      {"card_output", card_output()},
      {"carriers", parts_.transports.report()}};
}

Json StatusReport::slot_row(std::uint16_t slot) {
  const SlotDescriptor& d = parts_.slots.descriptor(slot);
  const regs::SlotRow& row = parts_.card.card().row(slot);
  const pipeline::SlotStats& stats = parts_.card.card().stats(slot);
  Json entry{{"slot", slot},
             {"pairing", pairing_name(d.pairing)},
             {"state", phase_name(d)},
             {"service", get_name(d.service)},
             {"acceptor", d.acceptor != 0},
             {"peer_node", get_name(d.peer_node)},
             {"peer_name", get_name(d.peer_name)},
             {"peer_pid", d.peer_pid},
             {"in_lines", 1U << d.in_order},
             {"out_lines", 1U << d.out_order}};
  if (const auto output = parts_.card.card().output(slot)) {
    entry["output"] = output->mapped != 0 ? "host" : "card";
    if (output->mapped == 0) entry["output_why"] = output->why;
  }
  if (d.session != kNoSession && parts_.sessions.find(d.session) != nullptr) {
    entry["pid"] = parts_.sessions.record(d.session).pid;
    entry["name"] = get_name(parts_.sessions.record(d.session).name);
  }
  if (static_cast<regs::SlotState>(row.state) != regs::SlotState::free) {
    entry["peer_slot"] = row.peer_slot;
    entry["epoch"] = row.epoch;
    entry["fault"] = regs::name(static_cast<regs::Fault>(row.fault));
    entry["marks"] = {
        {"in_tail", row.in_tail}, {"in_head", row.in_head}, {"out_tail", row.out_tail}, {"out_head", row.out_head}};
    entry["tx_lines"] = stats.tx_lines;
    entry["tx_lines_again"] = stats.tx_lines_again;
    entry["rx_lines"] = stats.rx_lines;
  }
  return entry;
}

Json StatusReport::slots(std::uint64_t from, std::uint64_t max) {
  const auto has = [&](std::size_t i) {
    const Pairing pairing = parts_.slots.descriptor(static_cast<std::uint16_t>(i)).pairing;
    return pairing != Pairing::none && pairing != Pairing::spare;
  };
  std::vector<std::uint16_t> shown;
  for (std::size_t i = from; i < parts_.slots.count() && shown.size() < std::min<std::uint64_t>(max, control::kMaxPage);
       ++i) {
    if (has(i)) shown.push_back(static_cast<std::uint16_t>(i));
  }
  parts_.card.card().refresh(shown);
  return page("slots", from, std::min<std::uint64_t>(max, control::kMaxPage), parts_.slots.count(), has,
              [&](std::size_t i) { return slot_row(static_cast<std::uint16_t>(i)); });
}

Json StatusReport::sessions(std::uint64_t from, std::uint64_t max) {
  const auto has = [&](std::size_t i) { return parts_.sessions.find(static_cast<std::uint32_t>(i)) != nullptr; };
  return page("sessions", from, std::min<std::uint64_t>(max, control::kMaxPage), parts_.sessions.limit(), has,
              [&](std::size_t i) {
                const auto index = static_cast<std::uint32_t>(i);
                const Session& session = parts_.sessions.at(index);
                const SessionRecord& record = parts_.sessions.record(index);
                return Json{{"session", record.id},
                            {"name", get_name(record.name)},
                            {"pid", record.pid},
                            {"uid", record.uid},
                            {"attached", session.channel != nullptr},
                            {"slots", session.slot_count},
                            {"memory", session.memory},
                            {"services", parts_.services.of(index)},
                            {"health", control::health_name(parts_.health.of(index))}};
              });
}

Json StatusReport::figures(std::uint64_t from, std::uint64_t max) {
  const auto has = [&](std::size_t i) {
    const Session* const session = parts_.sessions.find(static_cast<std::uint32_t>(i));
    return session != nullptr && !session->figures.empty();
  };
  max = std::min<std::uint64_t>(max, control::kMaxFigurePage);
  return page("figures", from, max, parts_.sessions.limit(), has, [&](std::size_t i) {
    const auto index = static_cast<std::uint32_t>(i);
    const SessionRecord& record = parts_.sessions.record(index);
    return Json{{"session", record.id},
                {"name", get_name(record.name)},
                {"pid", record.pid},
                {"figures", control::figures_json(parts_.sessions.at(index).figures)}};
  });
}

Json StatusReport::inspections(const Inspections& found, std::uint64_t from, std::uint64_t max) {
  max = std::min<std::uint64_t>(max, control::kMaxInspectionPage);
  return page(
      "inspections", from, max, found.size(), [](std::size_t) { return true; },
      [&](std::size_t i) {
        const auto& [service, entry] = *found.at(i);
        Json labels = Json::object();
        for (const auto& [label, count] : entry.counts.by_label()) labels[label] = count;
        return Json{{"service", service},
                    {"language", entry.language},
                    {"messages", std::move(labels)},
                    {"invalid", entry.counts.invalid},
                    {"refused", entry.counts.refused}};
      });
}

}  // namespace slotwire::engine
