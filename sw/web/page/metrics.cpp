#include "web/page/metrics.hpp"

#include <charconv>
#include <initializer_list>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "core/regs/regs.hpp"

namespace slotwire::web {
namespace {

using control::Json;

struct Label {
  std::string_view name;
  std::string value;
};

std::string number_text(double value) {
  std::array<char, 400> text;
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  return error == std::errc() ? std::string(text.data(), end) : "NaN";
}

/// Values of labels come from other processes and nodes.
std::string escaped(std::string_view value) {
  std::string text;
  for (const char c : value) {
    if (c == '\\' || c == '"') text += '\\';
    if (c == '\n') {
      text += "\\n";
    } else {
      text += c;
    }
  }
  return text;
}

/// Writes metrics, each family in one piece.
class Writer {
 public:
  explicit Writer(MetricsFormat format) : format_(format) {}

  /// Counters get "_total" where the format wants it.
  void counter(const std::string& name, std::string_view help) { family(name, "counter", help); }
  void gauge(const std::string& name, std::string_view help) { family(name, "gauge", help); }
  void histogram(const std::string& name, std::string_view help) { family(name, "histogram", help); }

  void value(double value, std::initializer_list<Label> labels = {}) { labelled(value, std::vector<Label>(labels)); }
  void labelled(double value, const std::vector<Label>& labels) {
    sample(type_ == "counter" ? name_ + "_total" : name_, labels, number_text(value));
  }
  void buckets(const AnswerTimes& times) {
    const auto sums = times.cumulative();
    for (std::size_t i = 0; i < AnswerTimes::kBounds.size(); ++i)
      sample(name_ + "_bucket", std::vector<Label>{{"le", number_text(AnswerTimes::kBounds.at(i))}},
             std::to_string(sums.at(i)));
    sample(name_ + "_bucket", std::vector<Label>{{"le", "+Inf"}}, std::to_string(times.count()));
    sample(name_ + "_sum", {}, number_text(times.sum()));
    sample(name_ + "_count", {}, std::to_string(times.count()));
  }
  /// One series of a histogram. `exemplar`: what follows the bucket that it is in, where the format has exemplars.
  void series(const std::vector<Label>& labels, const std::vector<std::uint64_t>& counts, double sum, double exemplar,
              const std::string& trace) {
    std::uint64_t so_far = 0;
    bool shown = trace.empty() || format_ != MetricsFormat::open_metrics;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      so_far += counts.at(i);
      const bool last = i == kFigureBoundsUs.size();
      const double bound = last ? 0 : static_cast<double>(kFigureBoundsUs.at(i)) / 1e6;
      std::vector<Label> all = labels;
      all.push_back({"le", last ? "+Inf" : number_text(bound)});
      std::string value = std::to_string(so_far);
      if (!shown && counts.at(i) != 0 && (last || exemplar <= bound)) {
        shown = true;
        value += " # {trace_id=\"" + escaped(trace) + "\"} " + number_text(exemplar);
      }
      sample(name_ + "_bucket", all, value);
    }
    sample(name_ + "_sum", labels, number_text(sum));
    sample(name_ + "_count", labels, std::to_string(so_far));
  }
  std::string finish() {
    if (format_ == MetricsFormat::open_metrics) text_ += "# EOF\n";
    return std::move(text_);
  }

 private:
  void family(const std::string& name, std::string_view type, std::string_view help) {
    name_ = "slotwire_" + name;
    type_ = type;
    // The older format names the family of a counter as its samples.
    const std::string shown = type_ == "counter" && format_ == MetricsFormat::prometheus ? name_ + "_total" : name_;
    text_ += "# HELP " + shown + " " + std::string(help) + "\n# TYPE " + shown + " " + std::string(type) + "\n";
  }
  void sample(const std::string& name, std::span<const Label> labels, const std::string& value) {
    text_ += name;
    char before = '{';
    for (const Label& label : labels) {
      text_ += before;
      text_ += std::string(label.name) + "=\"" + escaped(label.value) + '"';
      before = ',';
    }
    if (!labels.empty()) text_ += '}';
    text_ += ' ' + value + '\n';
  }

  MetricsFormat format_;
  std::string text_, name_, type_;
};

double number(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (!object.is_object() || found == object.end()) return 0;
  if (found->is_boolean()) return found->get<bool>() ? 1 : 0;
  return found->is_number() ? found->get<double>() : 0;
}

std::string text(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

const Json& member(const Json& object, const char* key) {
  static const Json none = Json::array();
  if (!object.is_object()) return none;
  const auto found = object.find(key);
  return found == object.end() ? none : *found;
}

void write_node(Writer& out, const Json& node) {
  out.gauge("build_info", "Release of slotwired; always 1.");
  out.value(1, {{"version", text(node, "version")}, {"node", text(node, "node")}, {"card", text(node, "card")}});
  out.gauge("uptime_seconds", "Time since slotwired was started.");
  out.value(number(node, "uptime_s"));
  out.counter("engine_sleeps", "Times that the engine's thread had nothing to do and slept.");
  out.value(number(node, "sleeps"));
  const Json& memory = member(node, "memory");
  out.gauge("slot_memory_bytes", "Slot memory of the node.");
  out.value(number(memory, "total"));
  out.gauge("slot_memory_free_bytes", "Slot memory that no slot has.");
  out.value(number(memory, "free"));
  out.gauge("slot_memory_largest_free_bytes", "The largest piece of free slot memory.");
  out.value(number(memory, "largest_free"));
  out.gauge("slots", "Slots in use, those that are being drained included.");
  out.value(number(member(node, "slots"), "used"));
  out.gauge("slots_draining", "Slots that were closed and still hold what was sent.");
  out.value(number(member(node, "slots"), "draining"));
  out.gauge("slots_limit", "Slots that the node can have (limits.slots).");
  out.value(number(member(node, "slots"), "limit"));
  out.gauge("sessions", "Processes that have a session.");
  out.value(number(member(node, "sessions"), "used"));
  out.gauge("sessions_limit", "Sessions that the node can have (limits.sessions).");
  out.value(number(member(node, "sessions"), "limit"));
}

void write_pipeline(Writer& out, const Json& node) {
  const Json& counters = member(node, "counters");
  if (!counters.is_object()) return;
  for (std::size_t i = 0; i < regs::kCounterCount; ++i) {
    const std::string name(regs::name(static_cast<regs::Counter>(i)));
    out.counter("pipeline_" + name, "Counter " + name + " of the pipeline (docs/registers.md).");
    out.value(number(counters, name.c_str()));
  }
}

/// Of a node with a card.
void write_card(Writer& out, const Json& node) {
  const Json& counters = member(node, "card_counters");
  if (!counters.is_object() || counters.empty()) return;
  for (std::size_t i = 0; i < regs::kCardCounterCount; ++i) {
    const std::string name(regs::name(static_cast<regs::CardCounter>(i)));
    out.counter("card_" + name, "Counter " + name + " of the card (docs/registers.md).");
    out.value(number(counters, name.c_str()));
  }
}

/// Of links under congestion control.
void write_congestion(Writer& out, const Json& links) {
  struct Family {
    const char* key;
    const char* name;
    const char* help;
    double unit;
    bool counts;
  };
  static constexpr std::array<Family, 10> kFamilies{{
      {"window_lines", "link_window_lines", "Lines that the link may have in flight.", 1, false},
      {"inflight_lines", "link_inflight_lines", "Lines of the link that are not acknowledged.", 1, false},
      {"srtt_us", "link_round_trip_seconds", "Smoothed round trip of the link.", 1e-6, false},
      {"least_rtt_us", "link_least_round_trip_seconds", "Least round trip of the last seconds.", 1e-6, false},
      {"lost_nak", "link_lost_nak_lines", "Lines sent again after a NAK.", 1, true},
      {"lost_timeout", "link_lost_timeout_lines", "Lines sent again after a timeout.", 1, true},
      {"lost_link", "link_lost_link_lines", "Lines sent again because later ones of the link arrived.", 1, true},
      {"marked", "link_marked_frames", "Frames that the peer got with a congestion mark.", 1, true},
      {"trips", "link_breaker_trips", "Times that congestion control took the link down.", 1, true},
      {"rounds", "link_rounds", "Decisions of congestion control.", 1, true},
  }};
  const auto each = [&](auto&& write) {
    for (const Json& link : links) {
      if (const Json& control = member(link, "congestion"); control.is_object()) write(control, text(link, "peer"));
    }
  };
  for (const Family& family : kFamilies) {
    if (family.counts) {
      out.counter(family.name, family.help);
    } else {
      out.gauge(family.name, family.help);
    }
    each([&](const Json& control, const std::string& peer) {
      out.value(number(control, family.key) * family.unit, {{"peer", peer}});
    });
  }
  out.gauge("link_limited", "1: what the link was limited by in its last round.");
  each([&](const Json& control, const std::string& peer) {
    out.value(1, {{"peer", peer}, {"algorithm", text(control, "algorithm")}, {"by", text(control, "limited_by")}});
  });
}

void write_links(Writer& out, const Json& node) {
  const Json& links = member(node, "links");
  const auto each = [&](auto&& write) {
    for (const Json& link : links) write(link, text(link, "peer"));
  };
  out.gauge("link_up", "1: both the control connection and the carrier of the link are up.");
  each([&](const Json& link, const std::string& peer) {
    out.value(number(link, "up"), {{"peer", peer}, {"carrier", text(link, "carrier")}});
  });
  out.gauge("link_carrier_up", "1: the carrier of the link is up.");
  each([&](const Json& link, const std::string& peer) { out.value(number(link, "carrier_up"), {{"peer", peer}}); });
  out.gauge("link_http_websocket",
            "Of a link over HTTP that knows: 1: its session goes over a WebSocket; 0: by requests.");
  each([&](const Json& link, const std::string& peer) {
    const std::string way = text(link, "http_way");
    if (!way.empty()) out.value(way == "websocket" ? 1 : 0, {{"peer", peer}});
  });
  out.gauge("link_control_up", "1: the control connection of the link is up.");
  each([&](const Json& link, const std::string& peer) { out.value(number(link, "control_up"), {{"peer", peer}}); });
  out.gauge("link_authenticated", "1: frames of the link are encrypted and authenticated.");
  each([&](const Json& link, const std::string& peer) { out.value(number(link, "authenticated"), {{"peer", peer}}); });
  out.counter("link_control_connects", "Control connections of the link that came up.");
  each([&](const Json& link, const std::string& peer) {
    out.value(number(link, "control_connects"), {{"peer", peer}});
  });
  out.counter("link_refused", "Messages of the peer that were refused.");
  each([&](const Json& link, const std::string& peer) { out.value(number(link, "refused"), {{"peer", peer}}); });
  struct Family {
    const char* key;
    const char* name;
    const char* help;
  };
  static constexpr std::array<Family, 4> kFamilies{{
      {"slots", "link_slots", "Slots of connections that the peer opened here."},
      {"memory", "link_slot_memory_bytes", "Slot memory of these."},
      {"pending_opens", "link_pending_opens", "Connections with the peer that are being opened."},
      {"down_s", "link_down_seconds", "How long the link has been down; 0: it is up."},
  }};
  for (const Family& family : kFamilies) {
    out.gauge(family.name, family.help);
    each([&](const Json& link, const std::string& peer) { out.value(number(link, family.key), {{"peer", peer}}); });
  }
  out.counter("link_refused_opens", "Connections that the peer asked for and a limit of peers forbade.");
  each([&](const Json& link, const std::string& peer) { out.value(number(link, "refused_opens"), {{"peer", peer}}); });
  write_congestion(out, links);
}

void write_carriers(Writer& out, const Json& node) {
  const Json& carriers = member(node, "carriers");
  struct Family {
    const char* key;
    const char* name;
    const char* help;
  };
  static constexpr std::array<Family, 10> kFamilies{{
      {"rx_frames", "carrier_received_frames", "Frames that a carrier received."},
      {"rx_bytes", "carrier_received_bytes", "Bytes that a carrier received."},
      {"tx_frames", "carrier_sent_frames", "Frames that a carrier sent."},
      {"tx_bytes", "carrier_sent_bytes", "Bytes that a carrier sent."},
      {"tx_dropped", "carrier_send_drops", "Frames that a carrier could not send; the link sends them again."},
      {"rx_malformed", "carrier_malformed_frames", "Frames that were none of a link's."},
      {"rx_unknown_peer", "carrier_unknown_peer_frames", "Frames from an address that belongs to no link."},
      {"rx_useless", "carrier_useless_frames", "Frames of a link that were damaged, not authentic, or for no slot."},
      {"rx_floods", "carrier_floods", "Times that useless frames came so often that they were put off."},
      {"disconnects", "carrier_disconnects", "Times that a carrier lost its connection."},
  }};
  for (const Family& family : kFamilies) {
    out.counter(family.name, family.help);
    for (const Json& carrier : carriers)
      out.value(number(carrier, family.key), {{"carrier", text(carrier, "carrier")}});
  }
}

void write_users(Writer& out, const Json& node) {
  struct Family {
    const char* key;
    const char* name;
    const char* help;
  };
  static constexpr std::array<Family, 5> kFamilies{{
      {"sessions", "user_sessions", "Sessions of a user."},
      {"slots", "user_slots", "Slots of a user."},
      {"memory", "user_slot_memory_bytes", "Slot memory of a user."},
      {"services", "user_services", "Services that a user's processes serve."},
      {"pending_opens", "user_pending_opens", "Connections of a user that are being opened."},
  }};
  for (const Family& family : kFamilies) {
    out.gauge(family.name, family.help);
    for (const Json& user : member(node, "users")) {
      out.value(number(user, family.key), {{"uid", std::to_string(static_cast<std::uint64_t>(number(user, "uid")))}});
    }
  }
  const Json& clients = member(node, "clients");
  out.counter("clients_refused", "Requests of processes that were refused.");
  out.value(number(clients, "refused"));
  out.counter("clients_cut_off", "Processes that did not read their answers and were ended.");
  out.value(number(clients, "cut_off"));
  out.counter("clients_turned_away", "Connections to the control socket that found their user's quota used up.");
  out.value(number(clients, "turned_away"));
  const Json& gate = member(node, "gate");
  out.counter("gate_accepted", "Control connections that the gate accepted.");
  out.value(number(gate, "accepted"));
  out.counter("gate_turned_away", "Callers that the gate turned away.");
  out.value(number(gate, "turned_away"));
  out.counter("gate_starts", "Times that the gate was started.");
  out.value(number(gate, "starts"));
}

/// Sums over the slots that there are now; slots come and go, so these are no counters.
void write_services(Writer& out, const Snapshot& snapshot) {
  struct Sum {
    std::uint64_t slots = 0, faulted = 0;
    double unsent = 0, unread = 0;
  };
  std::map<std::pair<std::string, std::string>, Sum> sums;
  for (const Json& slot : snapshot.slots) {
    const auto role = number(slot, "acceptor") != 0 ? "server" : "client";
    Sum& sum = sums[{text(slot, "service"), role}];
    ++sum.slots;
    const std::string fault = text(slot, "fault");
    if (!fault.empty() && fault != "none") ++sum.faulted;
    const Json& marks = member(slot, "marks");
    if (!marks.is_object()) continue;
    const auto lines = [&](const char* ahead, const char* behind) {
      return static_cast<double>(static_cast<std::uint32_t>(number(marks, ahead)) -
                                 static_cast<std::uint32_t>(number(marks, behind)));
    };
    sum.unsent += lines("in_tail", "in_head") * regs::kLineBytes;
    sum.unread += lines("out_tail", "out_head") * regs::kLineBytes;
  }
  const auto each = [&](auto&& value) {
    for (const auto& [key, sum] : sums) out.value(value(sum), {{"service", key.first}, {"role", key.second}});
  };
  out.gauge("service_slots", "Slots of connections to a service, on the side of its clients or its servers.");
  each([](const Sum& sum) { return static_cast<double>(sum.slots); });
  out.gauge("service_faulted_slots", "Those of them whose marks were out of range.");
  each([](const Sum& sum) { return static_cast<double>(sum.faulted); });
  out.gauge("service_unsent_bytes", "What processes wrote and the peers do not have yet.");
  each([](const Sum& sum) { return sum.unsent; });
  out.gauge("service_unread_bytes", "What peers delivered and processes have not read yet.");
  each([](const Sum& sum) { return sum.unread; });
  out.gauge("service_processes", "Processes of this node that serve a service.");
  for (const Json& service : member(snapshot.node, "services"))
    out.value(number(service, "processes"), {{"service", text(service, "service")}});
  out.gauge("service_process_health", "Processes of this node that serve a service, by what slotwired thinks of them.");
  for (const Json& service : member(snapshot.node, "services")) {
    for (const char* const health : {"well", "failing", "drained"})
      out.value(number(service, health), {{"service", text(service, "service")}, {"health", health}});
  }
  out.gauge("remote_service_up", "1: the service on that node is well, or nothing else is known.");
  for (const Json& service : member(snapshot.node, "remote_services")) {
    out.value(number(service, "failing") == 0 ? 1 : 0,
              {{"service", text(service, "service")}, {"node", text(service, "node")}});
  }
  out.gauge("remote_service_well_processes", "Processes of the service on that node that are well.");
  for (const Json& service : member(snapshot.node, "remote_services"))
    out.value(number(service, "well"), {{"service", text(service, "service")}, {"node", text(service, "node")}});
}

/// What processes say of their own requests. Each process has series of its own, for these end with it.
void write_figures(Writer& out, const Json& rows) {
  const auto each = [&](auto&& write) {
    for (const Json& row : rows) {
      for (const Json& one : member(row, "figures")) {
        const std::vector<Label> labels{{"service", text(one, "service")},
                                        {"role", text(one, "role")},
                                        {"process", text(row, "name")},
                                        {"pid", std::to_string(static_cast<std::uint64_t>(number(row, "pid")))}};
        write(one, labels);
      }
    }
  };
  out.histogram("request_duration_seconds", "Time of requests to a service, as its clients and its servers see them.");
  each([&](const Json& one, const std::vector<Label>& labels) {
    std::vector<std::uint64_t> counts;
    for (const Json& count : member(one, "buckets"))
      counts.push_back(count.is_number_unsigned() ? count.get<std::uint64_t>() : 0);
    counts.resize(control::kFigureBuckets);
    out.series(labels, counts, number(one, "sum_us") / 1e6, number(one, "exemplar_us") / 1e6,
               text(one, "exemplar_trace"));
  });
  out.counter("request_errors", "Requests among them that failed.");
  each([&](const Json& one, const std::vector<Label>& labels) { out.labelled(number(one, "errors"), labels); });
  out.counter("request_limited", "Requests that a process refused to send by a limit of its own, by that limit.");
  each([&](const Json& one, std::vector<Label> labels) {
    if (text(one, "role") != "client") return;
    labels.push_back({"limit", {}});
    for (const char* const limit : {"requests", "process", "waiting", "retries"}) {
      labels.back().value = limit;
      out.labelled(number(one, (std::string("limited_") + limit).c_str()), labels);
    }
  });
}

/// What processes found in the connections of services that are inspected.
void write_inspections(Writer& out, const Json& rows) {
  out.counter("inspected_messages", "Messages that were found in connections to a service, by method or command.");
  for (const Json& row : rows) {
    for (const auto& [label, count] : member(row, "messages").items()) {
      if (!count.is_number()) continue;
      out.value(count.get<double>(),
                {{"service", text(row, "service")}, {"language", text(row, "language")}, {"message", label}});
    }
  }
  out.counter("inspected_invalid", "Connections to a service that carried something else than its language.");
  for (const Json& row : rows) out.value(number(row, "invalid"), {{"service", text(row, "service")}});
  out.counter("inspected_refused", "Of these, connections that were ended for it.");
  for (const Json& row : rows) out.value(number(row, "refused"), {{"service", text(row, "service")}});
}

}  // namespace

MetricsFormat metrics_format(std::string_view accept) {
  return accept.find("application/openmetrics-text") == std::string_view::npos ? MetricsFormat::prometheus
                                                                               : MetricsFormat::open_metrics;
}

std::string_view metrics_type(MetricsFormat format) {
  return format == MetricsFormat::open_metrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                               : "text/plain; version=0.0.4; charset=utf-8";
}

std::string metrics_text(const Snapshot& snapshot, MetricsFormat format) {
  Writer out(format);
  out.gauge("up", "1: slotwired answers.");
  out.value(snapshot.trouble.empty() ? 1 : 0);
  out.counter("looks_failed", "Looks at slotwired that got no answer.");
  out.value(static_cast<double>(snapshot.failures));
  out.histogram("engine_answer_seconds", "Time that slotwired took to answer a request for its status.");
  out.buckets(snapshot.answer_times);
  if (snapshot.node.is_object()) {
    write_node(out, snapshot.node);
    write_pipeline(out, snapshot.node);
    write_card(out, snapshot.node);
    write_links(out, snapshot.node);
    write_carriers(out, snapshot.node);
    write_users(out, snapshot.node);
    write_services(out, snapshot);
    write_figures(out, snapshot.figures);
    write_inspections(out, snapshot.inspections);
  }
  return out.finish();
}

}  // namespace slotwire::web
