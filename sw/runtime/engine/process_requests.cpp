#include "runtime/engine/process_requests.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <set>
#include <utility>
#include <variant>

#include "core/overloaded.hpp"
#include "core/suggestion.hpp"
#include "runtime/control/printable.hpp"

namespace slotwire::engine {
namespace {

/// What only an operator may do. Throws Refusal.
void check_admin(const Client& client, const std::string& what) {
  if (is_operator(client.who)) return;
  throw Refusal{"refused", "only root and the user that slotwired runs as may " + what};
}

/// A number that the kernel tells of a socket; -1: it is none.
int socket_option(const slot::Fd& socket, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  return ::getsockopt(socket.get(), SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

}  // namespace

Session& ProcessRequests::session_of(const Client& client, std::string_view request) {
  if (client.session == kNoSession) {
    throw Refusal{"no_session", "'" + std::string(request) + "' needs a session: send 'hello' first"};
  }
  return rooms_.sessions.at(client.session);
}

void ProcessRequests::on_request(Client& client, const control::RequestPacket& packet, std::vector<slot::Fd>& fds) {
  const std::uint64_t id = packet.id;
  std::visit(
      Overloaded{[&](const control::Hello& r) { hub_->hello(client, id, r); },
                 [&](const control::Resume& r) { resume(client, id, r); },
                 [&](const control::Serve& r) {
                   rooms_.connector.serve(session_of(client, r.kName), r);
                   hub_->answer(client, id, control::Done{});
                 },
                 [&](const control::Unserve& r) {
                   rooms_.connector.unserve(session_of(client, r.kName), r);
                   hub_->answer(client, id, control::Done{});
                 },
                 [&](const control::Connect& r) { rooms_.connector.connect(session_of(client, r.kName), id, r); },
                 [&](const control::Close& r) { close(client, id, r); },
                 [&](const control::Bye& r) {
                   session_of(client, r.kName).said_bye = true;
                   hub_->leave(client);
                 },
                 [&](const control::StatusRequest&) { hub_->answer_document(client, id, rooms_.status.node()); },
                 [&](const control::SlotsRequest& r) {
                   hub_->answer_document(client, id, rooms_.status.slots(r.from, r.max));
                 },
                 [&](const control::SessionsRequest& r) {
                   hub_->answer_document(client, id, rooms_.status.sessions(r.from, r.max));
                 },
                 [&](const control::CaptureRequest& r) { capture(client, id, r, fds); },
                 [&](const control::Cut& r) { cut(client, id, r); },
                 [&](const control::Report& r) { report(session_of(client, r.kName), r); },
                 [&](const control::Inspected& r) { rooms_.connector.inspected(session_of(client, r.kName), r); },
                 [&](const control::InspectionsRequest& r) {
                   hub_->answer_document(client, id,
                                         StatusReport::inspections(rooms_.connector.inspections(), r.from, r.max));
                 },
                 [&](const control::Alive& r) { rooms_.health.alive(session_of(client, r.kName), r); },
                 [&](const control::Drain& r) {
                   check_admin(client, "drain a process");
                   rooms_.health.drain(r);
                   hub_->answer(client, id, control::Done{});
                 },
                 [&](const control::FiguresRequest& r) {
                   hub_->answer_document(client, id, rooms_.status.figures(r.from, r.max));
                 },
                 [&](const control::RegionRequest& r) {
                   const RegionTable::Opened opened = rooms_.regions.open(client.who, r);
                   hub_->answer(client, id, opened.answer, opened.fds);
                   rooms_.regions.sent(opened);
                 },
                 [&](const control::RegionsRequest& r) {
                   hub_->answer_document(client, id, rooms_.regions.report(r.from, r.max));
                 },
                 [&](const control::AttachedRequest& r) {
                   hub_->answer_document(client, id, rooms_.regions.attached(client.who.uid, r.from, r.max));
                 },
                 [&](const control::BlocksRequest& r) {
                   hub_->answer_document(client, id, rooms_.regions.blocks(client.who.uid, r.from, r.max));
                 }},
      packet.request);
}

void ProcessRequests::report(Session& session, const control::Report& report) {
  for (const control::Figures& figures : report.figures) {
    if (figures.role != "client" && figures.role != "server")
      throw Refusal{"bad_request", "in 'report': 'figures[].role' is neither client nor server"};
    if (figures.buckets.size() != control::kFigureBuckets) {
      throw Refusal{"bad_request",
                    "in 'report': 'figures[].buckets' has not " + std::to_string(control::kFigureBuckets) + " entries"};
    }
  }
  session.figures = report.figures;
}

void ProcessRequests::resume(Client& client, std::uint64_t id, const control::Resume& request) {
  Session& session = hub_->resume(client, request);
  // What the process closed or never heard of while the engine was away.
  std::set<std::uint32_t> held(request.slots.begin(), request.slots.end());
  control::ResumeAnswer answer;
  answer.node = rooms_.config.node.name;
  const std::vector<std::uint32_t> slots = session.slots;
  for (std::uint32_t local = 0; local < slots.size(); ++local) {
    if (slots[local] == kNoSlotIndex) continue;
    const auto slot = static_cast<std::uint16_t>(slots[local]);
    const SlotDescriptor& d = rooms_.slots.descriptor(slot);
    if (!held.contains(local)) {
      rooms_.slots.begin_close(slot, End::closed);
    } else if (d.phase == Phase::peer_gone) {
      answer.closed.push_back({local, d.end});
    }
    held.erase(local);
  }
  for (const std::uint32_t local : held) answer.closed.push_back({local, End::lost});
  hub_->answer(client, id, answer);
  rooms_.health.on_resumed(session);
  rooms_.peers.tell_links(session.index);  // links may have come or gone before it was back
}

void ProcessRequests::close(Client& client, std::uint64_t id, const control::Close& request) {
  const Session& session = session_of(client, request.kName);
  if (request.local >= session.slots.size() || session.slots[request.local] == kNoSlotIndex) {
    throw Refusal{"bad_request", "there is no slot with local index " + std::to_string(request.local)};
  }
  const auto slot = static_cast<std::uint16_t>(session.slots[request.local]);
  const bool spare = request.spare && session.keeps_spares;
  rooms_.slots.begin_close(slot, End::closed, spare ? SlotMemory::spare : SlotMemory::given_back);
  hub_->answer(client, id, control::Done{});
}

/// The peer whose link a person named; the refusal lists those that there are.
Peer& ProcessRequests::peer_of_link(const std::string& name) {
  if (Peer* const peer = rooms_.peers.find(name); peer != nullptr) return *peer;
  constexpr std::size_t kMostNamed = 32;
  std::vector<std::string_view> known;
  std::string all;
  for (const auto& peer : rooms_.peers.all()) {
    if (!peer) continue;
    known.push_back(peer->name());
    if (known.size() <= kMostNamed) all += (all.empty() ? "" : ", ") + peer->name();
  }
  if (known.size() > kMostNamed) all += " and " + std::to_string(known.size() - kMostNamed) + " more";
  std::string text = "there is no link to a node '" + control::printable(name) + "'";
  if (const std::string_view near = core::suggestion(name, known); !near.empty())
    text += "; did you mean '" + std::string(near) + "'?";
  text += all.empty() ? "; node '" + rooms_.config.node.name + "' has no links" : "; there are links to " + all;
  throw Refusal{"no_link", text};
}

void ProcessRequests::capture(Client& client, std::uint64_t id, const control::CaptureRequest& request,
                              std::vector<slot::Fd>& fds) {
  check_admin(client, "capture");
  if (fds.size() != 1) {
    throw Refusal{"bad_request", "'capture' comes with exactly one descriptor, a SOCK_SEQPACKET socket"};
  }
  // Of unix sockets alone it is known that sending with MSG_DONTWAIT waits for nobody.
  if (socket_option(fds[0], SO_DOMAIN) != AF_UNIX || socket_option(fds[0], SO_TYPE) != SOCK_SEQPACKET) {
    throw Refusal{"bad_request", "the descriptor that comes with 'capture' is no unix SOCK_SEQPACKET socket"};
  }
  std::optional<std::uint16_t> only;
  if (!request.link.empty()) {
    only = peer_of_link(request.link).link.index;
  }
  rooms_.capture.start(std::move(fds[0]), only, request.snaplen, {client.who.uid, client.who.pid});
  control::Json links = control::Json::array();
  for (const auto& peer : rooms_.peers.all()) {
    if (peer) links.push_back({{"link", peer->link.index}, {"peer", peer->name()}});
  }
  links.push_back({{"link", rooms_.loop_link}, {"peer", rooms_.config.node.name}});
  hub_->answer_document(client, id, {{"links", std::move(links)}});
}

void ProcessRequests::cut(Client& client, std::uint64_t id, const control::Cut& request) {
  check_admin(client, "cut a link");
  rooms_.peers.cut(peer_of_link(request.link));
  hub_->answer(client, id, control::Done{});
}

}  // namespace slotwire::engine
