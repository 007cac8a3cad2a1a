// A seeded HTTP that loses, repeats, cuts, damages, delays and holds up, between clients and one server of http_stream,
// in simulated time. The clients and the server are the real ones.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/http_stream/client.hpp"
#include "core/http_stream/server.hpp"
#include "sim/random.hpp"

namespace slotwire::sim {

using http_stream::Bytes;

/// What the way between one client and the server does. Chances in permille, times in microseconds.
struct HttpWay {
  std::uint32_t delay_us = 1'000, jitter_us = 500;  ///< one way
  unsigned lose_request = 0;                        ///< it never arrives, and nobody says so
  unsigned lose_response = 0;
  unsigned refuse = 0;              ///< the connection fails at once
  unsigned cut_response = 0;        ///< the connection ends before or within the answer
  unsigned repeat = 0;              ///< the request arrives twice
  unsigned shorten = 0;             ///< a body arrives cut short, as if that were all
  unsigned damage = 0;              ///< some of its bits are others
  unsigned late = 0;                ///< one way takes many times longer
  unsigned tell_gone = 500;         ///< the server hears that a client has left
  std::uint64_t hold_limit_us = 0;  ///< a proxy cuts requests that are held for longer; 0: none does
  unsigned hold_status = 504;       ///< with this status; 0: by closing the connection
  bool serial = false;              ///< a request waits until the one before was answered
  std::size_t body_limit = 0;       ///< longer requests are answered with 413; 0: none are
  bool down = false;                ///< nothing passes
  // Of duplex connections that the client asks for.
  unsigned refuse_duplex = 0;         ///< the upgrade is refused
  unsigned lose_duplex = 0;           ///< nobody ever answers the upgrade
  unsigned silent_duplex = 0;         ///< it is made, and nothing passes in one direction or in both
  unsigned late_duplex = 0;           ///< it takes up to twice the time that there is
  std::uint64_t duplex_limit_us = 0;  ///< a proxy cuts it after so long; 0: none does
  std::string address;                ///< the client's, as the server sees it
};

class LossyHttp {
 public:
  LossyHttp(Random& random, http_stream::Server& server) : random_(random), server_(&server) {}

  std::size_t add(http_stream::Client& client, HttpWay way);
  HttpWay& way(std::size_t client) { return peers_[client].way; }
  /// A connection for bundles is made; false: the client does not take it now.
  bool attach_duplex(std::size_t client);
  /// It is cut. Each end hears of it or not.
  void cut_duplex(std::size_t client, bool tell_client, bool tell_server);
  /// Everything between this client and the server is lost, as when a proxy restarts; the client hears of it.
  void restart_proxy(std::size_t client);
  /// What a client was told of duplex connections, so that it is seen when it asks too soon again.
  void expect_retry(std::size_t client, std::uint64_t first_us, std::uint64_t open_us);
  /// The server is another one from now on.
  void replace_server(http_stream::Server& server);

  /// Lets the client and the server make and answer what they have to.
  void pump(std::size_t client);
  void pump_server();
  /// Runs what is due until `now_us`; it does not go back.
  void run_due();
  /// When something is due next.
  std::uint64_t next_us() const;
  std::uint64_t now_us() const { return now_; }
  void advance(std::uint64_t now_us) { now_ = now_us; }
  /// Something that an owner of clients and servers must never see; the first.
  const std::optional<std::string>& violation() const { return violation_; }
  std::uint64_t requests() const { return requests_; }
  std::uint64_t bundle_bytes() const { return bundle_bytes_; }
  std::uint64_t duplex_tries() const { return duplex_tries_; }
  void at(std::uint64_t time_us, std::function<void()> what) { events_.emplace(time_us, std::move(what)); }
  void violate(std::string what) {
    if (!violation_) violation_ = std::move(what);
  }

 private:
  struct Flight {
    std::size_t client = 0;
    http_stream::RequestNumber number = 0;
    Bytes body;
    bool ended = false;  ///< the client has an answer, or has left
    std::vector<http_stream::ExchangeId> exchanges;
  };
  using FlightPtr = std::shared_ptr<Flight>;
  struct Duplex {
    http_stream::DuplexId id = 0;
    bool client_side = true, server_side = true;
    bool deaf_client = false, deaf_server = false;     ///< what is sent there does not arrive
    std::uint64_t to_server_us = 0, to_client_us = 0;  ///< when the last bundle arrives: they keep their order
  };
  struct Peer {
    http_stream::Client* client = nullptr;
    HttpWay way;
    std::map<http_stream::RequestNumber, FlightPtr> flights;
    std::vector<FlightPtr> waiting;  ///< behind the one that a serial proxy is busy with
    FlightPtr busy;
    std::shared_ptr<Duplex> duplex;
    std::uint64_t retry_us = 0, open_us = 0;    ///< least delay before the next try, longest time of one
    std::uint64_t try_from_us = 0, try_us = 0;  ///< no try before that; when the latest one began
    std::uint64_t tries = 0;
  };
  struct Exchange {
    FlightPtr flight;
    bool last = true;  ///< the copy whose answer the client gets
    bool answered = false, gone = false;
  };

  std::uint64_t one_way(const HttpWay& way);
  void start(std::size_t client, http_stream::Request request);
  void forward(const FlightPtr& flight);
  void arrive(const FlightPtr& flight, bool last);
  void answered(http_stream::Response response);
  void fail(const FlightPtr& flight, const char* text);
  void finish(const FlightPtr& flight, unsigned status, const Bytes& body);
  void leave(const FlightPtr& flight);
  void free_proxy(const FlightPtr& flight);
  void spoil(const HttpWay& way, Bytes& body);
  void try_duplex(std::size_t client);
  void made_duplex(std::size_t client, std::uint64_t number, bool silent);
  void duplex_to_server(std::size_t client, const std::shared_ptr<Duplex>& duplex, Bytes body);

  Random& random_;
  http_stream::Server* server_;
  std::vector<Peer> peers_;
  std::map<http_stream::ExchangeId, Exchange> exchanges_;
  std::map<http_stream::DuplexId, std::pair<std::size_t, std::shared_ptr<Duplex>>> duplexes_;
  std::multimap<std::uint64_t, std::function<void()>> events_;
  std::uint64_t now_ = 1'000'000;
  http_stream::ExchangeId next_exchange_ = 1;
  http_stream::DuplexId next_duplex_ = 1;
  std::uint64_t requests_ = 0, bundle_bytes_ = 0, duplex_tries_ = 0;
  std::optional<std::string> violation_;
};

}  // namespace slotwire::sim
