// TLS 1.3 with certificates on both sides, over a non-blocking socket. OpenSSL does the work; its types stay in
// tls.cpp.
#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct ssl_st;
struct ssl_ctx_st;

namespace slotwire::carriers {

/// PEM files. `certificate` holds the node's certificate and any intermediate ones, `ca` those that peers are checked
/// against. A node both dials and accepts, so its certificate must allow client and server use (or restrict neither).
struct TlsFiles {
  std::string certificate;
  std::string key;
  std::string ca;
  std::string crl;  ///< certificates that do not hold any more; empty: none are revoked
};

/// What stands in such files, for a process that may not open them.
struct TlsTexts {
  std::string certificate;
  std::string key;
  std::string ca;
  std::string crl;  ///< empty: none are revoked
};

/// What all TLS streams of a node share. Made at set-up; used from any thread after that.
class TlsContext {
 public:
  /// Throws std::runtime_error that names the file and what OpenSSL says about it.
  explicit TlsContext(const TlsFiles& files);
  /// `names`: what the texts are called in errors. Overwrites the key's text, whatever comes of it.
  TlsContext(TlsTexts&& texts, const TlsFiles& names);
  ssl_ctx_st* native() const noexcept { return context_.get(); }

 private:
  struct Free {
    void operator()(ssl_ctx_st* context) const noexcept;
  };
  std::unique_ptr<ssl_ctx_st, Free> context_;
};

enum class TlsResult : unsigned char { ok, want_read, want_write, closed, failed };

/// One TLS connection over a connected non-blocking socket that outlives it. One thread. Never raises SIGPIPE.
class TlsSession {
 private:
  struct Key {};

 public:
  enum class Role : unsigned char { client, server };
  explicit TlsSession(Key) {}  ///< made by create()
  /// `peer_name`: the handshake fails unless the peer's certificate names it; empty: any certificate of the CA will do
  /// (check later with peer_is()). None when OpenSSL has no memory.
  static std::unique_ptr<TlsSession> create(const TlsContext& context, int fd, Role role, const std::string& peer_name);

  TlsResult handshake();
  /// `count` is set on ok: 1..into.size() bytes read, 1..from.size() bytes written. Neither span may be empty.
  TlsResult read(std::span<std::byte> into, std::size_t& count);
  TlsResult write(std::span<const std::byte> from, std::size_t& count);
  /// Tells the peer that nothing more comes (once, if the socket takes it now).
  void shutdown();
  /// Decrypted bytes wait inside, which no descriptor shows.
  bool pending() const;
  /// Whether the peer's certificate names `node`. No wildcards.
  bool peer_is(const std::string& node) const;
  /// Whether the peer's certificate is good under another context: its CA and its list of revoked ones. Empty, or why
  /// not.
  std::string objection(const TlsContext& context) const;
  /// Why the last call failed, for people.
  const std::string& error() const noexcept { return error_; }

 private:
  struct Free {
    void operator()(ssl_st* ssl) const noexcept;
  };
  TlsResult result(int returned);
  std::unique_ptr<ssl_st, Free> ssl_;
  Role role_ = Role::client;
  std::string peer_name_, error_;
};

}  // namespace slotwire::carriers
