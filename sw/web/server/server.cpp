// Server: the facade of ServerCore.
#include "web/server/server_core.hpp"

namespace slotwire::web {

Server::Server(std::unique_ptr<detail::ServerCore> core) : core_(std::move(core)) {}
Server::Server(Server&&) noexcept = default;
Server& Server::operator=(Server&&) noexcept = default;
Server::~Server() = default;

Result<Server> Server::open(const ContextOptions& context, const std::string& service, Handler handler,
                            ServerOptions options) {
  Result<Context> opened = Context::open(context);
  if (!opened) return std::move(opened).error();
  Result<Service> served = opened->serve(service, options.serve);
  if (!served) return std::move(served).error();
  Result<Poller> poller = Poller::create(*opened);
  if (!poller) return std::move(poller).error();
  return Server(std::make_unique<detail::ServerCore>(*std::move(opened), *std::move(served), service,
                                                     *std::move(poller), std::move(handler), std::move(options)));
}

Result<void> Server::run() {
  return core_->run();
}
void Server::stop() const {
  core_->request_stop(false);
}
void Server::kill() const {
  core_->request_stop(true);
}
Result<bool> Server::step() {
  return core_->step();
}
int Server::fd() const {
  return core_->poller().fd();
}
Result<void> Server::arm() {
  return core_->arm();
}
std::optional<std::chrono::steady_clock::time_point> Server::next_time() const {
  return core_->next_time();
}
bool Server::is_over() const {
  return core_->is_over();
}
bool Server::is_draining() const {
  return core_->is_draining();
}
std::size_t Server::connections() const {
  return core_->connections();
}
std::size_t Server::requests() const {
  return core_->requests;
}
std::uint64_t Server::heads_given_up() const {
  return core_->heads_given_up();
}
Poster Server::poster() const {
  return Poster(core_->mailbox());
}
Context& Server::context() {
  return core_->context();
}

}  // namespace slotwire::web
