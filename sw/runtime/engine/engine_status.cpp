// What the engine tells about itself: the node, its links, sessions and slots.
#include "runtime/engine/engine.hpp"

namespace slotwire::engine {
namespace {

/// Rows in one answer, so that it fits a packet.
constexpr std::size_t kMaxPage = 128;

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
      return end_name(d.end);
  }
  return "unknown";
}

Json carrier_json(std::string_view name, const carriers::CarrierCounters& c) {
  return Json{{"carrier", name},
              {"tx_frames", c.tx_frames},
              {"tx_bytes", c.tx_bytes},
              {"tx_calls", c.tx_calls},
              {"tx_dropped", c.tx_dropped},
              {"rx_frames", c.rx_frames},
              {"rx_bytes", c.rx_bytes},
              {"rx_calls", c.rx_calls},
              {"rx_unknown_peer", c.rx_unknown_peer},
              {"rx_malformed", c.rx_malformed},
              {"connects", c.connects},
              {"disconnects", c.disconnects}};
}

Json carrier_json(const carriers::Carrier& carrier) {
  return carrier_json(carrier.name(), carrier.counters());
}

void add(carriers::CarrierCounters& sum, const carriers::CarrierCounters& c) {
  sum.tx_frames += c.tx_frames;
  sum.tx_bytes += c.tx_bytes;
  sum.tx_calls += c.tx_calls;
  sum.tx_dropped += c.tx_dropped;
  sum.rx_frames += c.rx_frames;
  sum.rx_bytes += c.rx_bytes;
  sum.rx_calls += c.rx_calls;
  sum.rx_unknown_peer += c.rx_unknown_peer;
  sum.rx_malformed += c.rx_malformed;
  sum.connects += c.connects;
  sum.disconnects += c.disconnects;
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

}  // namespace

/// The port, with what links sent and received over it, with or without encryption, on all queues together.
Json Engine::dpdk_json() {
  const carriers::Carrier& counted = sealed_dpdk_ ? static_cast<const carriers::Carrier&>(*sealed_dpdk_) : *dpdk_;
  carriers::CarrierCounters sum;
  carriers::DpdkPort port;
  if (card_->workers() == 0) add(sum, counted.counters());
  for (std::size_t queue = 0; queue < card_->workers(); ++queue) {
    card_->run_on(queue, [&] { add(sum, dpdk_->queue(queue).counters()); });
  }
  on_dpdk([&] { port = dpdk_->port(); });
  Json json = carrier_json(counted.name(), sum);
  json["port"] = {{"device", port.device},
                  {"driver", port.driver},
                  {"mac", port.mac},
                  {"address", dpdk_->local_address().to_string()},
                  {"queues", dpdk_->queues()},
                  {"steering", port.steering},
                  {"checksum", port.checksum},
                  {"wake", port.wake},
                  {"zero_copy", port.zero_copy},
                  {"advice", dpdk_advice_},
                  {"handed_out", port.handed_out},
                  {"handed_in", port.handed_in},
                  {"hand_over_dropped", port.hand_over_dropped},
                  {"rx_other", port.rx_other},
                  {"kernel_interface", port.kernel_interface},
                  {"to_kernel", port.to_kernel},
                  {"from_kernel", port.from_kernel},
                  {"kernel_dropped", port.kernel_dropped},
                  {"arp_answered", port.arp_answered},
                  {"arp_conflicts", port.arp_conflicts}};
  if (sealed_dpdk_) json["encryption"] = {{"library", dpdk_library().name()}, {"why", dpdk_ciphers_why_}};
  return json;
}

/// The threads that move slots of links over DPDK; none: the main thread does.
Json Engine::workers_json() {
  Json workers = Json::array();
  for (std::size_t worker = 0; worker < card_->workers(); ++worker) {
    const driver::WorkerReport report = card_->report(worker);
    const auto count = [&](regs::Counter counter) { return report.counters[static_cast<std::size_t>(counter)]; };
    workers.push_back({{"queue", worker},
                       {"cpu", config_.dpdk.lcores[worker]},
                       {"slots", report.slots},
                       {"sleeps", report.sleeps},
                       {"tx_frames", count(regs::Counter::tx_frames)},
                       {"tx_lines", count(regs::Counter::tx_lines)},
                       {"rx_frames", count(regs::Counter::rx_frames)},
                       {"rx_lines", count(regs::Counter::rx_lines)}});
  }
  return workers;
}

Json Engine::status() {
  card_->refresh({});
  const BuddyStats memory = memory_->stats();
  Json links = Json::array();
  for (const auto& link : links_) {
    if (!link) continue;
    links.push_back(
        {{"peer", link->config.peer},
         {"link", link->index},
         {"carrier", carrier_name(link->config.carrier)},
         {"up", usable(*link)},
         {"carrier_up", link->carrier_up},
         {"control_up", link->control_up},
         {"dials", link->config.dial},
         {"reason", usable(*link) ? std::string() : link->reason},
         {"control_connects", link->reconnects},
         {"encryption", link->config.carrier == LinkCarrier::tcp ? (tls_ ? "tls" : "none")
                                                                 : carriers::suite_name(link->config.encryption)}});
    if (const carriers::LinkKeys* const keys = keys_of(*link)) links.back()["keys"] = keys_json(*keys);
  }
  Json services = Json::array();
  for (const auto& [name, service] : services_) {
    services.push_back({{"service", name}, {"processes", service.sessions.size()}});
    if (services.size() == kMaxPage) break;
  }
  Json counters = Json::object();
  for (std::size_t i = 0; i < regs::kCounterCount; ++i) {
    const auto counter = static_cast<regs::Counter>(i);
    counters[std::string(regs::name(counter))] = card_->counter(counter);
  }
  Json carriers = Json::array();
  const auto counted = [](const carriers::Carrier& plain, const auto& sealed) -> const carriers::Carrier& {
    return sealed ? static_cast<const carriers::Carrier&>(*sealed) : plain;
  };
  if (udp_) carriers.push_back(carrier_json(counted(*udp_, sealed_udp_)));
  if (dpdk_) carriers.push_back(dpdk_json());
  if (card_udp_) carriers.push_back(carrier_json(*card_udp_));
  carriers.push_back(carrier_json(*tcp_));
  carriers.push_back(carrier_json(*loopback_));
  std::size_t sessions = 0;
  for (const auto& session : sessions_) sessions += session ? 1 : 0;
  return Json{
      {"node", config_.node.name},
      {"version", SLOTWIRE_VERSION},
      {"pid", ::getpid()},
      {"uptime_s", (monotonic_us() - started_us_) / 1'000'000},
      {"card", card_->capabilities().kind},
      {"card_chosen", {{"kind", card_chosen_.kind}, {"name", card_chosen_.name}, {"why", card_chosen_.why}}},
      {"recovered", recovered_},
      {"lives", admin_->header().lives},
      {"sleeps", sleeps_},
      {"workers", workers_json()},
      {"slots", {{"used", used_slots_}, {"limit", config_.limits.slots}, {"draining", draining_.size()}}},
      {"sessions", {{"used", sessions}, {"limit", config_.limits.sessions}}},
      {"memory",
       {{"total", memory.total_bytes}, {"free", memory.free_bytes}, {"largest_free", memory.largest_free_bytes}}},
      {"links", links},
      {"services", services},
      {"service_count", services_.size()},
      {"counters", counters},
      {"carriers", carriers}};
}

Json Engine::slots_page(const Json& request) {
  const auto from = number_or(request, "from", std::size_t{0});
  const std::size_t max = std::min(number_or(request, "max", kMaxPage), kMaxPage);
  Json rows = Json::array();
  std::int64_t next = -1;
  std::vector<std::uint16_t> shown;
  for (std::size_t i = from; i < admin_->slots().size(); ++i) {
    if (admin_->slots()[i].pairing == Pairing::none) continue;
    if (shown.size() == max) {
      next = static_cast<std::int64_t>(i);
      break;
    }
    shown.push_back(static_cast<std::uint16_t>(i));
  }
  card_->refresh(shown);
  for (const std::uint16_t slot : shown) {
    const SlotDescriptor& d = admin_->slots()[slot];
    const regs::SlotRow& row = card_->row(slot);
    const pipeline::SlotStats& stats = card_->stats(slot);
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
    if (d.session != kNoSession && sessions_[d.session]) {
      entry["pid"] = admin_->sessions()[d.session].pid;
      entry["name"] = get_name(admin_->sessions()[d.session].name);
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
    rows.push_back(std::move(entry));
  }
  return Json{{"slots", rows}, {"next", next}};
}

Json Engine::sessions_page(const Json& request) {
  const auto from = number_or(request, "from", std::size_t{0});
  const std::size_t max = std::min(number_or(request, "max", kMaxPage), kMaxPage);
  Json rows = Json::array();
  std::int64_t next = -1;
  for (std::size_t i = from; i < sessions_.size(); ++i) {
    if (!sessions_[i]) continue;
    if (rows.size() == max) {
      next = static_cast<std::int64_t>(i);
      break;
    }
    const SessionRecord& record = admin_->sessions()[i];
    rows.push_back({{"session", record.id},
                    {"name", get_name(record.name)},
                    {"pid", record.pid},
                    {"uid", record.uid},
                    {"attached", sessions_[i]->socket != nullptr},
                    {"slots", sessions_[i]->slot_count},
                    {"memory", sessions_[i]->memory},
                    {"services", sessions_[i]->services}});
  }
  return Json{{"sessions", rows}, {"next", next}};
}

}  // namespace slotwire::engine
