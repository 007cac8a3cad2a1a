#include "tools/slotwire/slot_rows.hpp"

#include "tools/slotwire/text.hpp"

namespace slotwire::cli {

std::string text_of(const Json& row, const char* key) {
  const auto found = row.find(key);
  if (found == row.end()) return "-";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

bool SlotFilter::fits(const Json& row) const {
  if (!service.empty() && text_of(row, "service") != service) return false;
  return process.empty() || text_of(row, "pid") == process || text_of(row, "name") == process;
}

Json slots_of(ControlClient& client, const SlotFilter& filter) {
  Json fitting = Json::array();
  for (Json& row : client.ask_all<control::SlotsRequest>()) {
    if (filter.fits(row)) fitting.push_back(std::move(row));
  }
  return fitting;
}

std::string slot_text(const Json& slots) {
  Table table({{"SLOT", true},
               {"SERVICE"},
               {"ROLE"},
               {"PROCESS"},
               {"PEER"},
               {"PAIRING"},
               {"STATE"},
               {"OUTPUT"},
               {"LINES OUT", true},
               {"AGAIN", true},
               {"LINES IN", true},
               {"UNREAD", true},
               {"UNSENT", true}});
  for (const Json& slot : slots) {
    std::string unread = "-";
    std::string unsent = "-";
    if (const auto marks = slot.find("marks"); marks != slot.end()) {
      const auto mark = [&](const char* name) { return marks->at(name).get<std::uint32_t>(); };
      unread = std::to_string(mark("out_tail") - mark("out_head"));
      unsent = std::to_string(mark("in_tail") - mark("in_head"));
    }
    const bool open = slot.at("state") == "open";
    const std::string state =
        slot.value("fault", "none") != "none" ? "fault " + text_of(slot, "fault") : text_of(slot, "state");
    table.add({text_of(slot, "slot"), text_of(slot, "service"), slot.at("acceptor").get<bool>() ? "serves" : "connects",
               text_of(slot, "name") + " (" + text_of(slot, "pid") + ")",
               text_of(slot, "peer_name") + "@" + text_of(slot, "peer_node") + " (" + text_of(slot, "peer_pid") + ")",
               text_of(slot, "pairing"), state, text_of(slot, "output"), text_of(slot, "tx_lines"),
               text_of(slot, "tx_lines_again"), text_of(slot, "rx_lines"), unread, unsent},
              {Colour::bold, Colour::none, Colour::none, Colour::none, Colour::none, Colour::none,
               open ? Colour::good : Colour::dim});
  }
  return table.empty() ? "  no slots\n" : table.text();
}

}  // namespace slotwire::cli
