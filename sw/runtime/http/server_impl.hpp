// For the sources of the server: its state, and what it knows of a connection whatever that runs over.
#pragma once
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "runtime/http/loop_asio.hpp"
#include "runtime/http/server.hpp"

namespace slotwire::http {

/// One accepted connection: it reads requests, one at a time, or is a channel.
class ServerConnection {
 public:
  virtual ~ServerConnection() = default;
  virtual void start() = 0;
  /// Ends it now; the handler is not called.
  virtual void drop() = 0;
  virtual void answer(unsigned status, Bytes body) = 0;
  virtual void refuse_request(unsigned status, const std::string& text) = 0;
  virtual bool send(Bytes message) = 0;
  virtual std::size_t queued() const = 0;
  virtual void close_channel() = 0;

  /// A proxy of the list has places without a limit per source.
  bool limited = false;
  Source place{};
  carriers::Address address;
  std::uint64_t number = 0;
  /// Place in the order of idle connections, 0: it is not idle.
  std::uint64_t idle = 0;
};
using ConnectionPointer = std::shared_ptr<ServerConnection>;

struct Server::Impl {
  Impl(Loop& event_loop, ServerOptions&& given, ServerHandler& requests);
  ~Impl();

  // Places.
  void accept(std::size_t listener);
  void accepted(boost::asio::ip::tcp::socket&& socket);
  bool make_room(const ServerConnection& newcomer);
  void evict(std::uint64_t number);
  void idle(ServerConnection& connection);
  void busy(ServerConnection& connection);
  void remove(ServerConnection& connection);

  // Requests and channels of connections.
  RequestId begin_request(ServerConnection& connection);
  void end_request(RequestId id);
  ChannelId begin_channel(ServerConnection& connection);
  void end_channel(ChannelId id);
  bool serves(std::string_view path) const;

  struct Place {
    std::size_t connections = 0;
    std::map<std::uint64_t, std::uint64_t> idle;  ///< connection by place in the order
  };

  Loop& loop;
  ServerOptions options;
  ServerHandler& handler;
  ServerCounters counters;
  std::unique_ptr<boost::asio::ssl::context> tls;
  std::list<boost::asio::ip::tcp::acceptor> acceptors;
  std::list<Timer> pauses;  ///< one for each acceptor, for when there are no descriptors
  std::unordered_map<std::uint64_t, ConnectionPointer> connections;
  std::map<Source, Place> places;
  std::map<std::uint64_t, std::uint64_t> idle_order;
  std::unordered_map<std::uint64_t, ServerConnection*> requests, channels;
  std::uint64_t last_number = 0;
  /// Handlers that are still under way when the server ends look at this.
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);
};

ConnectionPointer make_plain_connection(Server::Impl& server, boost::asio::ip::tcp::socket&& socket);
ConnectionPointer make_tls_connection(Server::Impl& server, boost::asio::ip::tcp::socket&& socket);
std::unique_ptr<boost::asio::ssl::context> make_server_tls(carriers::TlsTexts& texts);

}  // namespace slotwire::http
