#include "core/carriers/tls.hpp"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <stdexcept>
#include <utility>

#include "core/carriers/socket.hpp"
#include "core/slot/open_files.hpp"

namespace slotwire::carriers {
namespace {

constexpr unsigned kNameFlags = X509_CHECK_FLAG_NO_WILDCARDS;

std::string openssl_text() {
  std::string text;
  while (const unsigned long code = ERR_get_error()) {
    const char* reason = ERR_reason_error_string(code);
    if (!text.empty()) text += ", ";
    if (reason != nullptr) {
      text += reason;
    } else {
      std::array<char, 256> buffer{};
      ERR_error_string_n(code, buffer.data(), buffer.size());
      text += buffer.data();
    }
  }
  return text.empty() ? "no detail from OpenSSL" : text;
}

// A BIO over a socket that OpenSSL does not own. OpenSSL's own calls write(), which kills a process that does not
// ignore SIGPIPE when the peer is gone.
int bio_write(BIO* bio, const char* data, int size) {
  const int fd = static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio)));
  BIO_clear_retry_flags(bio);
  const ssize_t put = ::send(fd, data, static_cast<std::size_t>(size), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (put < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
  return static_cast<int>(put);
}

int bio_read(BIO* bio, char* data, int size) {
  const int fd = static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio)));
  BIO_clear_retry_flags(bio);
  const ssize_t got = ::recv(fd, data, static_cast<std::size_t>(size), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  if (got == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  return static_cast<int>(got);
}

long bio_ctrl(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

struct MethodFree {
  void operator()(BIO_METHOD* method) const noexcept { BIO_meth_free(method); }
};

const BIO_METHOD* socket_method() {
  static const std::unique_ptr<BIO_METHOD, MethodFree> method = [] {
    std::unique_ptr<BIO_METHOD, MethodFree> made(
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK | BIO_TYPE_DESCRIPTOR, "slotwire socket"));
    if (made) {
      BIO_meth_set_write(made.get(), bio_write);
      BIO_meth_set_read(made.get(), bio_read);
      BIO_meth_set_ctrl(made.get(), bio_ctrl);
    }
    return made;
  }();
  return method.get();
}

}  // namespace

void TlsContext::Free::operator()(ssl_ctx_st* context) const noexcept {
  SSL_CTX_free(context);
}
void TlsSession::Free::operator()(ssl_st* ssl) const noexcept {
  SSL_free(ssl);
}

namespace {

template <class T, void (*free_it)(T*)>
struct FreeBy {
  void operator()(T* object) const noexcept { free_it(object); }
};
struct BioFree {
  void operator()(BIO* bio) const noexcept { BIO_free(bio); }
};
struct InfosFree {
  void operator()(STACK_OF(X509_INFO) * infos) const noexcept { sk_X509_INFO_pop_free(infos, X509_INFO_free); }
};
using Certificate = std::unique_ptr<X509, FreeBy<X509, X509_free>>;

/// Larger files are refused: they are not certificates.
constexpr std::size_t kMaxPemBytes = std::size_t{4} << 20U;

std::string read_pem(const std::string& what, const std::string& path) {
  std::string text;
  const std::string problem = slot::read_regular(path, kMaxPemBytes, text);
  if (!problem.empty()) throw std::runtime_error("TLS: " + what + ": " + problem + "; give a readable PEM file");
  return text;
}

TlsTexts read_texts(const TlsFiles& files) {
  TlsTexts texts;
  texts.certificate = read_pem("certificate", files.certificate);
  texts.key = read_pem("key", files.key);
  texts.ca = read_pem("CA", files.ca);
  if (!files.crl.empty()) texts.crl = read_pem("CRL", files.crl);
  return texts;
}

std::unique_ptr<BIO, BioFree> memory(const std::string& text) {
  return std::unique_ptr<BIO, BioFree>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

/// OpenSSL would ask at a terminal.
int no_password(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*user*/) {
  return -1;
}

/// The reading of a PEM file ends with this error when nothing was wrong.
bool at_end() {
  const bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  if (end) ERR_clear_error();
  return end;
}

bool use_chain(SSL_CTX* context, const std::string& text) {
  const auto bio = memory(text);
  const Certificate own(PEM_read_bio_X509_AUX(bio.get(), nullptr, no_password, nullptr));
  if (!own || SSL_CTX_use_certificate(context, own.get()) != 1) return false;
  while (Certificate next{PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr)}) {
    if (SSL_CTX_add0_chain_cert(context, next.get()) != 1) return false;
    static_cast<void>(next.release());  // the context owns it now
  }
  return at_end();
}

bool use_key(SSL_CTX* context, const std::string& text) {
  const auto bio = memory(text);
  const std::unique_ptr<EVP_PKEY, FreeBy<EVP_PKEY, EVP_PKEY_free>> key(
      PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  return key && SSL_CTX_use_PrivateKey(context, key.get()) == 1 && SSL_CTX_check_private_key(context) == 1;
}

bool trust(SSL_CTX* context, const std::string& text) {
  const auto bio = memory(text);
  const std::unique_ptr<STACK_OF(X509_INFO), InfosFree> infos(
      PEM_X509_INFO_read_bio(bio.get(), nullptr, no_password, nullptr));
  int certificates = 0;
  for (int i = 0; infos && i < sk_X509_INFO_num(infos.get()); ++i) {
    X509* const certificate = sk_X509_INFO_value(infos.get(), i)->x509;
    if (certificate == nullptr) continue;
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate) != 1) return false;
    ++certificates;
  }
  return certificates != 0;
}

bool revoke(SSL_CTX* context, const std::string& text) {
  const auto bio = memory(text);
  X509_STORE* const store = SSL_CTX_get_cert_store(context);
  int lists = 0;
  using List = std::unique_ptr<X509_CRL, FreeBy<X509_CRL, X509_CRL_free>>;
  while (const List list{PEM_read_bio_X509_CRL(bio.get(), nullptr, no_password, nullptr)}) {
    if (X509_STORE_add_crl(store, list.get()) != 1) return false;
    ++lists;
  }
  return at_end() && lists != 0 && X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK) == 1;
}

/// The text of a key does not stay in memory.
struct Wiped {
  explicit Wiped(std::string&& given) : text(std::move(given)) {}
  ~Wiped() { OPENSSL_cleanse(text.data(), text.size()); }
  Wiped(const Wiped&) = delete;
  Wiped& operator=(const Wiped&) = delete;
  std::string text;
};

/// What to do about a peer's certificate that does not hold, by OpenSSL's verdict.
std::string advice(long verdict, const std::string& peer_name) {
  switch (verdict) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "; give the peer a certificate that is valid today, or set the clock of this host";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "; set the clock of this host, or that of the host where the certificate was made";
    case X509_V_ERR_CERT_REVOKED:
      return "; the CRL of this node (tls.crl) names it: give the peer a new certificate";
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_UNABLE_TO_GET_CRL:
      return "; give this node a current CRL of its CA (tls.crl), and reload slotwired";
    case X509_V_ERR_INVALID_PURPOSE:
      return "; the extended key usage of a node's certificate, where it has one, must allow TLS servers and clients";
    case X509_V_ERR_HOSTNAME_MISMATCH:
      return "; the peer's certificate must name '" + peer_name + "' (subjectAltName)";
    default:
      return "; the peer's certificate must be signed by the CA of this node (tls.ca)";
  }
}

}  // namespace

TlsContext::TlsContext(const TlsFiles& files) : TlsContext(read_texts(files), files) {}

TlsContext::TlsContext(TlsTexts&& texts, const TlsFiles& names) : context_(SSL_CTX_new(TLS_method())) {
  const Wiped key(std::move(texts.key));
  ERR_clear_error();
  SSL_CTX* context = context_.get();
  if (context == nullptr) throw std::runtime_error("TLS: cannot make a context: " + openssl_text());
  if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1) {
    throw std::runtime_error("TLS: this OpenSSL has no TLS 1.3: " + openssl_text());
  }
  if (!use_chain(context, texts.certificate)) {
    throw std::runtime_error("TLS: certificate '" + names.certificate + "' cannot be used (" + openssl_text() +
                             "); give a readable PEM file");
  }
  if (!use_key(context, key.text)) {
    throw std::runtime_error("TLS: key '" + names.key + "' cannot be used (" + openssl_text() +
                             "); give a readable PEM file, without a password, that belongs to the certificate '" +
                             names.certificate + "'");
  }
  if (!trust(context, texts.ca)) {
    throw std::runtime_error("TLS: CA '" + names.ca + "' cannot be used (" + openssl_text() +
                             "); give a readable PEM file with the certificates that peers are checked against");
  }
  if (!texts.crl.empty() && !revoke(context, texts.crl)) {
    throw std::runtime_error("TLS: CRL '" + names.crl + "' cannot be used (" + openssl_text() +
                             "); give a readable PEM file with the certificates that the CA has revoked");
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // Connections live for days: a ticket to resume one saves nothing and would be written into a stream nobody reads
  // yet.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
}

std::unique_ptr<TlsSession> TlsSession::create(const TlsContext& context, int fd, Role role,
                                               const std::string& peer_name) {
  auto session = std::make_unique<TlsSession>(Key{});
  session->role_ = role;
  session->ssl_.reset(SSL_new(context.native()));
  const BIO_METHOD* method = socket_method();
  BIO* bio = session->ssl_ && method != nullptr ? BIO_new(method) : nullptr;
  if (bio == nullptr) return nullptr;
  // The descriptor itself is what the BIO carries; nothing is read through it.
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<std::intptr_t>(fd)));
  BIO_set_init(bio, 1);
  SSL* ssl = session->ssl_.get();
  SSL_set_bio(ssl, bio, bio);  // the SSL owns it now
  if (!peer_name.empty()) {
    SSL_set_hostflags(ssl, kNameFlags);
    if (SSL_set1_host(ssl, peer_name.c_str()) != 1) return nullptr;
    session->peer_name_ = peer_name;
  }
  if (role == Role::client) {
    SSL_set_connect_state(ssl);
  } else {
    SSL_set_accept_state(ssl);
  }
  return session;
}

TlsResult TlsSession::result(int returned) {
  if (returned > 0) return TlsResult::ok;
  const int saved = errno;
  switch (SSL_get_error(ssl_.get(), returned)) {
    case SSL_ERROR_WANT_READ:
      return TlsResult::want_read;
    case SSL_ERROR_WANT_WRITE:
      return TlsResult::want_write;
    case SSL_ERROR_ZERO_RETURN:
      error_ = "the peer closed the connection";
      return TlsResult::closed;
    case SSL_ERROR_SYSCALL:
      error_ = saved == 0 ? "the peer closed the connection" : "the connection broke: " + errno_text(saved);
      return TlsResult::closed;
    default:
      break;
  }
  if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
    ERR_clear_error();
    error_ = "the peer closed the connection without saying so";
    return TlsResult::closed;
  }
  // What an alert of the peer says has a reason of its own, above all others.
  const bool refused = ERR_GET_REASON(ERR_peek_last_error()) > SSL_AD_REASON_OFFSET;
  error_ = "TLS: " + openssl_text();
  const long verdict = SSL_get_verify_result(ssl_.get());
  if (verdict != X509_V_OK) {
    error_ += std::string(" (") + X509_verify_cert_error_string(verdict) + ")";
    error_ += advice(verdict, peer_name_);
  } else if (refused) {
    error_ += "; the peer refused this node, or the kind of TLS that it offers: the peer's log says why";
  }
  return TlsResult::failed;
}

TlsResult TlsSession::handshake() {
  ERR_clear_error();
  errno = 0;
  return result(SSL_do_handshake(ssl_.get()));
}

TlsResult TlsSession::read(std::span<std::byte> into, std::size_t& count) {
  ERR_clear_error();
  errno = 0;
  return result(SSL_read_ex(ssl_.get(), into.data(), into.size(), &count));
}

TlsResult TlsSession::write(std::span<const std::byte> from, std::size_t& count) {
  ERR_clear_error();
  errno = 0;
  return result(SSL_write_ex(ssl_.get(), from.data(), from.size(), &count));
}

void TlsSession::shutdown() {
  ERR_clear_error();
  if (SSL_is_init_finished(ssl_.get()) == 1) SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

bool TlsSession::pending() const {
  return SSL_pending(ssl_.get()) > 0;
}

std::string TlsSession::objection(const TlsContext& context) const {
  ERR_clear_error();
  X509* const certificate = SSL_get0_peer_certificate(ssl_.get());
  const std::unique_ptr<X509_STORE_CTX, FreeBy<X509_STORE_CTX, X509_STORE_CTX_free>> check(X509_STORE_CTX_new());
  if (certificate == nullptr || !check ||
      X509_STORE_CTX_init(check.get(), SSL_CTX_get_cert_store(context.native()), certificate,
                          SSL_get_peer_cert_chain(ssl_.get())) != 1 ||
      X509_STORE_CTX_set_default(check.get(), role_ == Role::server ? "ssl_client" : "ssl_server") != 1) {
    return "its certificate cannot be checked";
  }
  if (X509_verify_cert(check.get()) == 1) return {};
  ERR_clear_error();
  return X509_verify_cert_error_string(X509_STORE_CTX_get_error(check.get()));
}

bool TlsSession::peer_is(const std::string& node) const {
  X509* certificate = SSL_get0_peer_certificate(ssl_.get());
  return certificate != nullptr && !node.empty() &&
         X509_check_host(certificate, node.data(), node.size(), kNameFlags, nullptr) == 1;
}

}  // namespace slotwire::carriers
