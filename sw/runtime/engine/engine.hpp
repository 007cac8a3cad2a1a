// The engine: the control plane of a node. Sessions of processes, slots, services, links, and the card that moves the
// lines.
//
// One thread runs everything: run() polls the card while there is something to do and sleeps in the reactor otherwise.
// With dpdk.lcores the slots of links over DPDK are moved by threads of their own (driver/sharded/shard_worker.hpp);
// they run nothing that stands here, but for what on_dpdk() hands to the first of them. engine.cpp        start, loop,
// stop engine_process.cpp  requests of processes (the control socket) engine_peer.cpp     messages of other engines
// (the control connection) engine_keys.cpp     keys of encrypted links engine_slots.cpp    the life of a slot: opening,
// closing, draining engine_recover.cpp  taking up what an earlier life left engine_status.cpp   what it tells about
// itself
#pragma once
#include <csignal>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/carriers/dpdk/dpdk.hpp"
#include "core/carriers/loopback.hpp"
#include "core/carriers/message_stream.hpp"
#include "core/carriers/sealed.hpp"
#include "core/carriers/tcp.hpp"
#include "core/carriers/udp.hpp"
#include "driver/router/make_card.hpp"
#include "runtime/control/packet_socket.hpp"
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/host/log.hpp"
#include "runtime/engine/host/notify.hpp"
#include "runtime/engine/host/reactor.hpp"
#include "runtime/engine/json_fields.hpp"
#include "runtime/engine/recovery/keeper.hpp"
#include "runtime/engine/services/directory.hpp"
#include "runtime/engine/services/policy.hpp"
#include "runtime/engine/sessions/credentials.hpp"
#include "runtime/engine/slots/admin.hpp"
#include "runtime/engine/slots/buddy.hpp"
#include "runtime/engine/status/capture_tap.hpp"

namespace slotwire::engine {

using Json = nlohmann::json;

/// Version of both control protocols (docs/control.md).
inline constexpr int kControlVersion = 1;

/// A configured address as the carriers take it. Throws std::runtime_error.
carriers::Address address_of(const HostPort& at);

class Engine final : private driver::CardListener {
 public:
  /// Sets everything up: memory, sockets, links. Throws std::exception with a text that says what to do.
  Engine(Config config, std::string config_path);
  ~Engine() override;

  /// Runs until stop() or a signal that asks for it (SIGTERM, SIGINT); SIGHUP reloads the directory and reopens the
  /// log. Returns the exit status.
  int run();

 private:
  /// A process that is attached, or one that was before a restart of the engine and has not come back yet.
  struct Session {
    std::uint32_t index = 0;
    std::unique_ptr<control::PacketSocket> socket;  ///< none while detached
    std::optional<PidFd> process;
    std::vector<gid_t> gids;
    slot::Fd bell_file, polled_file, kick;
    slot::Mapping bells, polled;
    std::vector<std::uint32_t> slots;  ///< by local index; kNoSlotIndex: free
    std::uint32_t next_local = 0;
    std::set<std::string> services;
    std::uint32_t slot_count = 0;
    std::uint64_t memory = 0;
    bool said_bye = false;
  };
  /// A connection to the control socket; becomes a session's with hello or resume.
  struct Client {
    std::uint64_t id = 0;
    std::unique_ptr<control::PacketSocket> socket;
    PeerCredentials who;
    std::uint32_t session = kNoSession;
  };
  struct Service {
    std::vector<std::uint32_t> sessions;
    std::size_t next = 0;
  };
  /// One peer node.
  struct Link {
    std::uint16_t index = 0;
    LinkConfig config;
    std::unique_ptr<carriers::MessageStream> control;
    bool control_up = false;  ///< hellos were exchanged
    bool carrier_up = false;
    std::uint64_t incarnation = 0;
    carriers::Token token{};
    bool routed = false;
    carriers::SealedCarrier* sealed = nullptr;  ///< has its keys; null: not encrypted
    std::string reason = "not connected yet";
    std::uint64_t backoff_us = 0;
    std::optional<Reactor::TimerId> retry;
    std::uint64_t heard_us = 0;
    std::set<std::pair<std::uint16_t, std::uint16_t>> synced;  ///< (own slot, epoch) that the peer says it has
    carriers::Address last_control_peer;
    carriers::Address card_peer;            ///< where frames of a link of the card go
    std::vector<std::uint16_t> peer_ports;  ///< where the peer wants frames of a link over DPDK; none: its address's
    std::uint64_t reconnects = 0;
    int watched_fd = -1;
  };
  /// An accepted control connection that has not said who it is.
  struct Caller {
    std::uint64_t id = 0;
    carriers::MessageStream stream;
    carriers::Address from;
    std::uint64_t deadline_us = 0;
    int watched_fd = -1;
  };
  /// A connect of a process here that waits for another node.
  struct PendingOpen {
    std::uint32_t session = 0;
    std::uint64_t session_id = 0;
    Json request_id;
    std::uint16_t slot = 0;
    std::uint16_t link = 0;
    std::uint16_t epoch = 0;
    std::string service;
    Reactor::TimerId timer;
  };
  struct Draining {
    std::uint16_t slot = 0;
    std::uint64_t deadline_us = 0;
  };

  // driver::CardListener
  void on_fault(std::uint16_t slot, regs::Fault fault) override;
  void on_link(std::uint16_t link, bool up, std::string_view reason) override;
  bool on_card_gone(std::string_view why) override;

  // engine.cpp
  void open_control_socket();
  void offer_as_default();
  void withdraw_as_default();
  void open_carriers();
  std::unique_ptr<carriers::UdpCarrier> open_udp(const carriers::Address& address);
  void open_dpdk();
  carriers::EalOptions eal_options() const;
  void choose_ciphers();
  carriers::CipherLibrary& dpdk_library() const;
  /// Runs `f()` in the thread that the DPDK carrier belongs to.
  template <class F>
  void on_dpdk(F&& f) {
    if (card_->workers() == 0) return f();
    card_->run_on(0, f);
  }
  std::unique_ptr<carriers::SealedCarrier> open_sealed(LinkCarrier kind, carriers::Carrier* below);
  void open_card(const driver::SoftMoverOptions& options);
  std::vector<driver::WorkerPlace> worker_places();
  void open_links();
  void catch_signals();
  void handle_signal();
  bool step(std::uint64_t now_us);
  struct Loop;
  void tick();
  void shut_down();
  void tell(const Result<void>& result);
  spdlog::logger& log() { return log_.logger(); }
  void log_limited(std::string_view key, spdlog::level::level_enum level, const std::string& text);

  // engine_process.cpp
  void accept_client();
  void on_client(std::uint64_t id, std::uint32_t events);
  void handle_packet(Client& client, control::Packet packet);
  void drop_client(std::uint64_t id, std::string_view why);
  void answer(Client& client, const Json& id, Json fields, const std::vector<int>& fds = {});
  void refuse(Client& client, const Json& id, const Refusal& refusal);
  void request_hello(Client& client, const Json& request);
  void request_resume(Client& client, const Json& request);
  void request_serve(Client& client, const Json& request);
  void request_connect(Client& client, const Json& request);
  void request_close(Client& client, const Json& request);
  void request_capture(Client& client, const Json& request, control::Packet& packet);
  void request_cut(Client& client, const Json& request);
  bool is_admin(const Client& client) const;
  bool coming_back() const;
  Refusal still_coming_back() const;
  void attach(Client& client, Session& session);
  bool tell(Session& session, const Json& event, const std::vector<int>& fds = {});
  void end_session(std::uint32_t index, std::string_view why);
  void forget_services(Session& session);
  Session& session_at(std::uint32_t index) { return *sessions_[index]; }
  std::string who(const Session& session);

  // engine_slots.cpp
  /// `link`: what the slot will be paired over; null: within the node.
  std::uint16_t open_slot(Session& owner, const Link* link, unsigned in_order, unsigned out_order, Pairing pairing,
                          std::string_view service, bool acceptor);
  std::uint32_t free_local(const Session& owner, std::uint16_t slot) const;
  void keep_slot(std::uint16_t slot);
  void free_slot(std::uint16_t slot);
  void begin_close(std::uint16_t slot, End end);
  void finish_close(std::uint16_t slot);
  void check_draining(std::uint64_t now_us);
  void disown(std::uint16_t slot);
  void peer_ended(std::uint16_t slot, End end, const std::string& text);
  void connect_here(Client& client, const Json& request, Session& from, Session& to, const std::string& service,
                    unsigned in_order, unsigned out_order, Isolation isolation);
  void connect_there(const Json& request, Session& from, Link& link, const std::string& service, unsigned in_order,
                     unsigned out_order, std::uint64_t timeout_us);
  void stop_slot(std::uint16_t slot, End end, const std::string& text);
  Json slot_json(std::uint16_t slot);
  /// Descriptors of a slot for its process, in the order of docs/control.md; `temporary` holds those made for it.
  driver::SlotFiles space_files(std::uint16_t slot);
  std::vector<int> slot_fds(std::uint16_t slot, std::vector<slot::Fd>& temporary);
  Session* serving(const std::string& service);
  std::string peer_text(std::uint16_t slot);
  void release_memory(std::uint64_t offset);

  // engine_peer.cpp
  void dial(Link& link);
  void accept_caller();
  void on_caller(std::uint64_t id);
  void on_control(std::uint16_t index);
  void watch_control(Link& link);
  void control_lost(Link& link, std::string_view why);
  void send_peer(Link& link, const Json& message);
  void say_hello(carriers::MessageStream& stream, const Link& link, const carriers::Address& peer);
  bool take_hello(Link& link, const Json& hello, const carriers::Address& from);
  void handle_peer(Link& link, const Json& message);
  void peer_open(Link& link, const Json& message);
  void peer_opened(Link& link, const Json& message);
  void peer_close(Link& link, const Json& message);
  void peer_sync(Link& link, const Json& message);
  void send_sync(Link& link);
  void route(Link& link, const Json& hello, const carriers::Address& from);
  /// Tells the sessions with slots on the link, or one of them, whether it is up.
  void tell_link(Link& link, std::optional<std::uint32_t> only = std::nullopt);
  bool usable(const Link& link) const { return link.carrier_up && link.control_up; }
  void fail_opens(std::uint16_t link, const std::string& text);
  Link* link_to(std::string_view node);

  // engine_keys.cpp
  carriers::Carrier& join(Link& link, carriers::Carrier& below, const std::unique_ptr<carriers::SealedCarrier>& sealed);
  carriers::LinkKeys* keys_of(const Link& link) const;
  void restart_keys(Link& link);
  void tend_keys();
  void tend_keys(Link& link);
  void peer_key(Link& link, const Json& message);
  void peer_key_taken(Link& link, const Json& message);
  std::string encryption_mismatch(const Link& link, const Json& hello) const;

  // engine_recover.cpp
  void recover();
  void recover_session(std::uint32_t index, std::vector<slot::Fd>& fds);
  bool recover_slot(std::uint16_t slot, std::vector<slot::Fd>& fds);
  std::uint16_t link_index(const std::string& peer);

  // engine_status.cpp
  Json status();
  Json dpdk_json();
  Json workers_json();
  Json slots_page(const Json& request);
  Json sessions_page(const Json& request);

  Config config_;
  std::string config_path_;
  Log log_;
  LimitedLog limited_log_;
  ServiceNotifier notifier_;
  Reactor reactor_;
  std::unique_ptr<Keeper> keeper_;
  std::unique_ptr<Admin> admin_;
  std::unique_ptr<Policy> policy_;
  std::unique_ptr<StaticDirectory> directory_;
  std::unique_ptr<BuddyAllocator> memory_;
  // Carriers outlive the card.
  std::shared_ptr<const carriers::TlsContext> tls_;
  std::unique_ptr<carriers::LoopbackCarrier> loopback_;
  std::unique_ptr<carriers::UdpCarrier> udp_;
  std::unique_ptr<carriers::DpdkCarrier> dpdk_;
  std::vector<std::string> dpdk_advice_;
  std::unique_ptr<carriers::CipherLibrary> dpdk_ciphers_;              ///< of encrypted links over dpdk_; none: OpenSSL
  std::string dpdk_ciphers_why_;                                       ///< why it is the one, for people
  std::unique_ptr<carriers::SealedCarrier> sealed_udp_, sealed_dpdk_;  ///< over udp_, dpdk_, where some link wants it
  std::unique_ptr<carriers::TcpCarrier> tcp_;
  std::unique_ptr<carriers::UdpCarrier> card_udp_;  ///< the card's links where it is software
  struct {
    std::string kind, name, why;
  } card_chosen_;
  std::string card_wait_;  ///< what was said of why a card that went away is waited for
  std::unique_ptr<CaptureTap> capture_;

  slot::Fd control_listener_;
  std::unique_ptr<carriers::Listener> peer_listener_;
  slot::Fd signals_;
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, Client> clients_;
  std::vector<std::unique_ptr<Session>> sessions_;
  std::map<std::string, Service> services_;
  std::vector<std::unique_ptr<Link>> links_;  ///< by link number; holes are null
  std::map<std::uint64_t, Caller> callers_;
  std::map<std::uint64_t, PendingOpen> opens_;
  std::vector<Draining> draining_;
  std::uint16_t loop_link_ = 0;
  std::uint32_t next_slot_ = 0;
  std::uint32_t used_slots_ = 0;
  std::uint64_t started_us_ = 0;
  std::uint64_t sleeps_ = 0;
  bool recovered_ = false;
  bool stopping_ = false;
  // Last, so that its threads end before anything goes that they use.
  std::unique_ptr<driver::Card> card_;
};

}  // namespace slotwire::engine
