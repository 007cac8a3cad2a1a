// An HTTP client for messages of programs: POST requests to one URL, through whatever proxies lie on the way. libcurl
// does the work, on the loop of its owner; its types stay in the sources.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/carriers/socket.hpp"
#include "core/carriers/tls.hpp"
#include "core/result.hpp"
#include "runtime/http/loop.hpp"
#include "runtime/http/proxy_choice.hpp"

namespace slotwire::http {

using Bytes = std::vector<std::byte>;

/// A name and a password, or Kerberos' own.
struct Login {
  std::string user, password;
  bool negotiate = false;  ///< by the Kerberos ticket of this user (SPNEGO); name and password may be empty
  bool given() const { return negotiate || !user.empty(); }
};

/// Looks a name up and passes on the addresses (port 0), now or later; for a process that may not create threads, which
/// libcurl's own resolver does.
using ResolveAnswer = std::function<void(const core::Result<std::vector<carriers::Address>>&)>;
using ResolveHook = std::function<void(const std::string& host, ResolveAnswer answer)>;

struct ClientOptions {
  std::string url;  ///< http://host[:port]/path or https://
  /// A proxy's URL, "host:port" means http://. Empty: none. Not set: as the environment says (http_proxy, https_proxy,
  /// all_proxy, no_proxy).
  std::optional<std::string> proxy;
  Environment environment = process_environment;
  Login proxy_login, server_login;
  /// PEM texts. `ca`: instead of the system's. `certificate` and `key`: this client's, empty: none.
  carriers::TlsTexts tls;
  ResolveHook resolve;  ///< none: libcurl's own

  std::chrono::microseconds connect_time{10'000'000};  ///< for DNS, TCP, the proxy's CONNECT and TLS
  std::size_t connections = 66;                        ///< at one time
  std::size_t response_header_bytes = std::size_t{16} << 10U;
  std::size_t response_body_bytes = (std::size_t{1} << 20U) + 4096;
};

/// A login is given, by the options or in the URL of the server or of the proxy.
bool has_login(const ClientOptions& options);

struct ClientResponse {
  unsigned status = 0;
  bool binary = false;  ///< its type is application/octet-stream
  Bytes body;
};

enum class FailureKind : std::uint8_t {
  resolve,        ///< a name is unknown, or the resolver does not answer
  refused,        ///< TCP: refused or unreachable
  reset,          ///< the connection broke off
  timeout,        ///< no answer in time, or no connection in connect_time
  certificate,    ///< the certificate of the server (or of a proxy that intercepts TLS) is not trusted
  tls,            ///< another error of TLS
  proxy_login,    ///< 407
  server_login,   ///< 401
  proxy_refused,  ///< the proxy does not make the connection
  answer,         ///< something else answered than a server of ours
  too_large,      ///< header or body of the answer
  other
};

struct ClientFailure {
  FailureKind kind = FailureKind::other;
  std::string text;  ///< what happened, where, and what to do
  /// Trying again will not help before somebody changes something.
  bool permanent() const;
};

using ClientOutcome = std::variant<ClientResponse, ClientFailure>;
using ClientDone = std::function<void(ClientOutcome&&)>;

/// What a client found out about its way.
struct ClientReport {
  std::string proxy;         ///< "http://host:port", empty: none
  std::string proxy_scheme;  ///< "Basic", "Digest", "Negotiate", empty: the proxy wants none
  std::string server_scheme;
  std::uint64_t requests = 0, connections = 0;
};

class Client {
 private:
  friend class ClientChannel;
  struct Impl;
  struct Transfer;

 public:
  /// A request under way; its destruction cancels it.
  class Call {
   public:
    Call() = default;
    explicit Call(std::weak_ptr<Transfer> transfer) : transfer_(std::move(transfer)) {}
    Call(Call&& other) noexcept = default;
    Call& operator=(Call&& other) noexcept;
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    ~Call() { cancel(); }
    void cancel();

   private:
    std::weak_ptr<Transfer> transfer_;
  };

  /// Throws std::runtime_error that says what is wrong with the options.
  Client(Loop& loop, ClientOptions options);
  /// Cancels everything.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// `done` is called once, from the loop, unless the call is cancelled before. The first request of a client with a
  /// login waits for a GET that finds out which scheme of authentication is wanted: a proxy that refuses a body of
  /// more than 64 KiB for want of authentication may hang.
  [[nodiscard]] Call post(Bytes body, std::chrono::microseconds time, ClientDone done);
  [[nodiscard]] Call get(std::chrono::microseconds time, ClientDone done);

  /// What an answer means that did not come from a server of ours; for people.
  ClientFailure explain(const ClientResponse& response) const;
  const Url& url() const;
  ClientReport report() const;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace slotwire::http
