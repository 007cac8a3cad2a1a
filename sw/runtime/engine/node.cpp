#include "runtime/engine/node.hpp"

#include <unistd.h>

#include <utility>

namespace slotwire::engine {

Node::Node(NodeParts parts)
    : config_(parts.config),
      loop_(parts.loop),
      loop_link_(static_cast<std::uint16_t>(parts.config.limits.links)),
      own_uid_(::getuid()),
      users_(parts.config, own_uid_),
      accounts_(parts.config, users_),
      policy_(std::make_unique<Policy>(parts.config, own_uid_)),
      recovery_(parts.config, parts.store, parts.log, std::move(parts.kept)),
      admin_(recovery_.take_admin()),
      transports_({parts.config, parts.loop, parts.log, parts.tls, parts.loop.now_us(), parts.network.sessions()}) {
  peers_ = std::make_unique<PeerTable>(PeerParts{config_, *admin_, parts.loop, parts.log, transports_, parts.network});
  open_card(parts);
  open_rooms(parts);
  recovery_.take_slots(
      *sessions_, *slots_, [this](std::uint16_t link) { return peers_->at(link) != nullptr; },
      [this](const KeptTag& tag, std::vector<slot::Fd> fds) { regions_->recover(tag, std::move(fds)); });
}

void Node::open_card(NodeParts& parts) {
  if (parts.make_card) {
    card_ = std::make_unique<NodeCard>(parts.make_card(*admin_, *this));
  } else {
    card_ =
        std::make_unique<NodeCard>(CardParts{config_, *admin_, parts.loop, parts.log, *this, transports_.workers()});
  }
  transports_.route_loopback(*card_, loop_link_);
  for (const auto& transport : transports_.all()) transport->use_card(*card_, peers_->links_of(transport->name()));
}

void Node::open_rooms(NodeParts& parts) {
  sessions_ = std::make_unique<SessionTable>(
      SessionParts{config_, *admin_, card(), parts.loop, parts.store, parts.processes, parts.log, parts.random, users_},
      [this](Session& session, End end) { on_session_end(session, end); });
  slots_ = std::make_unique<SlotTable>(SlotParts{config_, *admin_, card(), parts.loop, parts.store, *sessions_,
                                                 accounts_, *peers_, parts.log, parts.random, loop_link_});
  services_ = std::make_unique<ServiceTable>(config_, users_);
  health_ = std::make_unique<ProcessHealth>(
      ProcessHealthParts{config_, parts.loop, parts.log, *sessions_, *slots_, *peers_, *services_});
  node_health_ = std::make_unique<NodeHealth>(config_, parts.loop, parts.log, *peers_);
  connector_ = std::make_unique<Connector>(ConnectorParts{config_, parts.loop, parts.log, *sessions_, *slots_,
                                                          accounts_, *peers_, *services_, *policy_, parts.directory,
                                                          *health_, *node_health_, recovery_.recovered()});
  peers_->use(*slots_, *connector_);
  regions_ = std::make_unique<RegionTable>(
      RegionParts{config_, parts.loop, parts.log, parts.store, parts.processes, users_, parts.random}, *policy_);
  status_ = std::make_unique<StatusReport>(StatusParts{
      config_, parts.loop, *admin_, *card_, *sessions_, *slots_, *peers_, *services_, parts.directory, *health_,
      *node_health_, *regions_, transports_, users_, accounts_, parts.store, recovery_.recovered(), sleeps_});
  capture_ = std::make_unique<Capture>([this](driver::FrameTap* tap) { card().set_tap(tap); }, parts.log);
  requests_ = std::make_unique<ProcessRequests>(RequestRooms{config_, *sessions_, *slots_, *peers_, *connector_,
                                                             *health_, *regions_, *status_, *capture_, loop_link_});
  hub_ = std::make_unique<ProcessHub>(config_, parts.loop, parts.log, *sessions_, *requests_);
  requests_->use(*hub_);
  parts.store.on_ready([this] {
    hub_->on_store_ready();
    connector_->on_store_ready();
  });
}

void Node::on_session_end(Session& session, End end) {
  services_->forget(session.index);
  health_->forget(session.index);
  const std::vector<std::uint32_t> held = session.slots;
  for (const std::uint32_t slot : held) {
    if (slot != kNoSlotIndex) slots_->begin_close(static_cast<std::uint16_t>(slot), end);
  }
  slots_->drop_spares_of(session.index);
  if (hub_) hub_->forget_session(session.index);
}

void Node::start() {
  for (const auto& transport : transports_.all()) transport->start();
  card_->start_workers();
  peers_->start();
}

bool Node::step(std::uint64_t now_us) {
  const bool busy = card().poll(now_us);
  if (!drained()) slots_->check_draining(now_us);
  if (transports_.take_key_news()) peers_->tend_keys();
  return busy;
}

void Node::tick() {
  capture_->tick(loop_.now_us());
  hub_->tick();
  slots_->drop_old_spares(loop_.now_us());
  connector_->tick();
  health_->tick();
  node_health_->tick();
  regions_->tick();
  users_.sweep(loop_.now_us());
  peers_->tick();
}

void Node::stop() {
  peers_->stop();
  for (std::uint32_t i = 0; i < sessions_->limit(); ++i) {
    if (sessions_->find(i) != nullptr) sessions_->end(i, "the node stops");
  }
}

}  // namespace slotwire::engine
