// The requests of processes and tools, each handed to the room that answers it. docs/control.md is the reference.
#pragma once
#include <string>
#include <vector>

#include "runtime/engine/peers/peer_table.hpp"
#include "runtime/engine/regions/region_table.hpp"
#include "runtime/engine/services/connector.hpp"
#include "runtime/engine/sessions/process_hub.hpp"
#include "runtime/engine/status/capture.hpp"
#include "runtime/engine/status/status_report.hpp"

namespace slotwire::engine {

/// The rooms that answer. All of them outlive the object.
struct RequestRooms {
  const Config& config;
  SessionTable& sessions;
  SlotTable& slots;
  PeerTable& peers;
  Connector& connector;
  ProcessHealth& health;
  RegionTable& regions;
  StatusReport& status;
  Capture& capture;
  std::uint16_t loop_link = 0;
};

class ProcessRequests final : public RequestHandler {
 public:
  explicit ProcessRequests(RequestRooms rooms) : rooms_(rooms) {}
  /// The hub that clients are answered through; before the first request.
  void use(ProcessHub& hub) { hub_ = &hub; }

  void on_request(Client& client, const control::RequestPacket& packet, std::vector<slot::Fd>& fds) override;

 private:
  static void report(Session& session, const control::Report& report);
  void resume(Client& client, std::uint64_t id, const control::Resume& request);
  void close(Client& client, std::uint64_t id, const control::Close& request);
  void capture(Client& client, std::uint64_t id, const control::CaptureRequest& request, std::vector<slot::Fd>& fds);
  Peer& peer_of_link(const std::string& name);
  void cut(Client& client, std::uint64_t id, const control::Cut& request);
  /// The client's session. Throws Refusal when it has none.
  Session& session_of(const Client& client, std::string_view request);

  RequestRooms rooms_;
  ProcessHub* hub_ = nullptr;
};

}  // namespace slotwire::engine
