#include "runtime/http/server.hpp"

#include <sys/socket.h>

#include <stdexcept>
#include <utility>

#include "runtime/http/server_connection.hpp"

namespace slotwire::http {
namespace {

using asio::ip::tcp;
using Stream = EndingStream<tcp::socket>;

constexpr int kBacklog = 512;
/// After the system had no descriptor for a connection.
constexpr std::chrono::microseconds kAcceptPause{100'000};

slot::Fd listen_on(const carriers::Address& address) {
  slot::Fd fd = carriers::bound_socket(address, SOCK_STREAM);
  if (::listen(fd.get(), kBacklog) != 0) carriers::throw_errno("listening on " + address.to_string());
  return fd;
}

void check(const ServerOptions& options) {
  if (options.paths.empty()) throw std::runtime_error("an HTTP server needs a path to serve");
  for (const std::string& path : options.paths) {
    if (!path.starts_with('/') || path.find_first_of("?# %") != std::string::npos) {
      throw std::runtime_error("'" + path +
                               "' is no path to serve: it begins with '/' and has no '?', '#', '%' or space");
    }
  }
}

}  // namespace

ConnectionPointer make_plain_connection(Server::Impl& server, tcp::socket&& socket) {
  return std::make_shared<StreamConnection<Stream>>(server, Stream(std::move(socket)));
}

Server::Impl::Impl(Loop& event_loop, ServerOptions&& given, ServerHandler& requests)
    : loop(event_loop), options(std::move(given)), handler(requests) {
  check(options);
  if (!options.tls.certificate.empty()) tls = make_server_tls(options.tls);
  std::vector<slot::Fd> fds = std::move(options.listeners);
  for (const carriers::Address& address : options.addresses) fds.push_back(listen_on(address));
  for (slot::Fd& fd : fds) {
    const auto address = carriers::Address::bound_to(fd.get());
    const tcp protocol = address.family() == AF_INET6 ? tcp::v6() : tcp::v4();
    acceptors.emplace_back(loop.impl().context, protocol, fd.get());
    static_cast<void>(fd.release());
    const std::size_t number = acceptors.size() - 1;
    pauses.emplace_back(loop, [this, number] { accept(number); });
  }
  for (std::size_t i = 0; i < acceptors.size(); ++i) accept(i);
}

Server::Impl::~Impl() {
  *alive = false;
  for (auto& acceptor : acceptors) {
    error_code ignored;
    acceptor.close(ignored);
  }
  while (!connections.empty()) {
    const ConnectionPointer connection = connections.begin()->second;
    connection->drop();
  }
}

void Server::Impl::accept(std::size_t listener) {
  auto& acceptor = *std::next(acceptors.begin(), static_cast<std::ptrdiff_t>(listener));
  acceptor.async_accept([this, listener, lives = alive](const error_code& error, tcp::socket socket) {
    if (!*lives || error == asio::error::operation_aborted) return;
    if (error == asio::error::no_descriptors || error == asio::error::no_buffer_space ||
        error == asio::error::no_memory || error.value() == ENFILE) {
      return std::next(pauses.begin(), static_cast<std::ptrdiff_t>(listener))->after(kAcceptPause);
    }
    if (!error) accepted(std::move(socket));
    accept(listener);
  });
}

void Server::Impl::accepted(tcp::socket&& socket) {
  error_code error;
  const tcp::endpoint endpoint = socket.remote_endpoint(error);
  if (error) return;
  socket.set_option(tcp::no_delay(true), error);
  const auto from = carriers::Address::from(endpoint.data(), static_cast<socklen_t>(endpoint.size()));
  if (!from) return;
  ++counters.accepted;
  ConnectionPointer connection =
      tls ? make_tls_connection(*this, std::move(socket)) : make_plain_connection(*this, std::move(socket));
  connection->address = *from;
  connection->place = source_of(*from);
  connection->limited = true;
  for (const Network& network : options.trusted_proxies) connection->limited &= !network.has(*from);
  if (!make_room(*connection)) {
    ++counters.turned_away;
    return;
  }
  connection->number = ++last_number;
  ++places[connection->place].connections;
  connections.emplace(connection->number, connection);
  counters.connections = connections.size();
  connection->start();
}

/// A newcomer takes the place of the connection that is idle for longest: of its own source when that has too many, of
/// anybody when there are too many.
bool Server::Impl::make_room(const ServerConnection& newcomer) {
  if (const auto place = places.find(newcomer.place);
      newcomer.limited && place != places.end() && place->second.connections >= options.limits.connections_per_source) {
    if (place->second.idle.empty()) return false;
    evict(place->second.idle.begin()->second);
  }
  if (connections.size() < options.limits.connections) return true;
  if (idle_order.empty()) return false;
  evict(idle_order.begin()->second);
  return true;
}

void Server::Impl::evict(std::uint64_t number) {
  ++counters.evicted;
  const ConnectionPointer connection = connections.at(number);
  connection->drop();
}

void Server::Impl::idle(ServerConnection& connection) {
  busy(connection);
  connection.idle = ++last_number;
  idle_order.emplace(connection.idle, connection.number);
  places[connection.place].idle.emplace(connection.idle, connection.number);
}

void Server::Impl::busy(ServerConnection& connection) {
  if (connection.idle == 0) return;
  idle_order.erase(connection.idle);
  places[connection.place].idle.erase(connection.idle);
  connection.idle = 0;
}

void Server::Impl::remove(ServerConnection& connection) {
  busy(connection);
  const auto place = places.find(connection.place);
  if (place != places.end() && --place->second.connections == 0) places.erase(place);
  connections.erase(connection.number);
  counters.connections = connections.size();
}

RequestId Server::Impl::begin_request(ServerConnection& connection) {
  requests.emplace(++last_number, &connection);
  return static_cast<RequestId>(last_number);
}

void Server::Impl::end_request(RequestId id) {
  requests.erase(static_cast<std::uint64_t>(id));
}

ChannelId Server::Impl::begin_channel(ServerConnection& connection) {
  channels.emplace(++last_number, &connection);
  return static_cast<ChannelId>(last_number);
}

void Server::Impl::end_channel(ChannelId id) {
  channels.erase(static_cast<std::uint64_t>(id));
}

bool Server::Impl::serves(std::string_view path) const {
  for (const std::string& prefix : options.paths) {
    if (is_beneath(path, prefix)) return true;
  }
  return false;
}

// ---- Server ----

Server::Server(Loop& loop, ServerOptions options, ServerHandler& handler)
    : impl_(std::make_unique<Impl>(loop, std::move(options), handler)) {}
Server::~Server() = default;

std::vector<carriers::Address> Server::addresses() const {
  std::vector<carriers::Address> all;
  for (auto& acceptor : impl_->acceptors) all.push_back(carriers::Address::bound_to(acceptor.native_handle()));
  return all;
}

bool Server::answer(RequestId id, unsigned status, Bytes body) {
  const auto found = impl_->requests.find(static_cast<std::uint64_t>(id));
  if (found == impl_->requests.end()) return false;
  ServerConnection& connection = *found->second;
  impl_->requests.erase(found);
  connection.answer(status, std::move(body));
  return true;
}

bool Server::refuse(RequestId id, unsigned status, const std::string& text) {
  const auto found = impl_->requests.find(static_cast<std::uint64_t>(id));
  if (found == impl_->requests.end()) return false;
  ServerConnection& connection = *found->second;
  impl_->requests.erase(found);
  connection.refuse_request(status, text);
  return true;
}

bool Server::send(ChannelId id, Bytes message) {
  const auto found = impl_->channels.find(static_cast<std::uint64_t>(id));
  return found != impl_->channels.end() && found->second->send(std::move(message));
}

std::size_t Server::queued(ChannelId id) const {
  const auto found = impl_->channels.find(static_cast<std::uint64_t>(id));
  return found == impl_->channels.end() ? 0 : found->second->queued();
}

void Server::close_channel(ChannelId id) {
  const auto found = impl_->channels.find(static_cast<std::uint64_t>(id));
  if (found != impl_->channels.end()) found->second->close_channel();
}

ServerCounters Server::counters() const {
  return impl_->counters;
}

}  // namespace slotwire::http
