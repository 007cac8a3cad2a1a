// The server over TLS: a source of its own, as it takes long to compile.
#include <boost/asio/ssl.hpp>
#include <boost/beast/websocket/ssl.hpp>

#include <openssl/crypto.h>

#include <array>
#include <stdexcept>

#include "runtime/http/server_connection.hpp"

namespace slotwire::http {
namespace {

using Stream = EndingStream<asio::ssl::stream<asio::ip::tcp::socket>>;

/// Calls `step` and says which of the files it was when it fails.
template <class Step>
void with_name(const char* what, Step step) {
  try {
    step();
  } catch (const boost::system::system_error& error) {
    throw std::runtime_error(std::string("the ") + what + " of the HTTP server cannot be used: " + error.what() +
                             "; a PEM file is expected");
  }
}

/// Chooses HTTP/1.1 for clients that offer several protocols.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_length, const unsigned char* in,
                    unsigned in_length, void*) {
  static constexpr std::array<unsigned char, 9> kHttp11{8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_length, kHttp11.data(), kHttp11.size(), in, in_length) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_NOACK;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace

std::unique_ptr<asio::ssl::context> make_server_tls(carriers::TlsTexts& texts) {
  auto context = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
  SSL_CTX* const native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_3_VERSION);
  // Each connection shows its certificate anew.
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(native, 0);
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(native, choose_protocol, nullptr);
  with_name("certificate", [&] { context->use_certificate_chain(asio::buffer(texts.certificate)); });
  with_name("key", [&] { context->use_private_key(asio::buffer(texts.key), asio::ssl::context::pem); });
  OPENSSL_cleanse(texts.key.data(), texts.key.size());
  if (SSL_CTX_check_private_key(native) != 1) {
    throw std::runtime_error("the key of the HTTP server does not belong to its certificate");
  }
  if (!texts.ca.empty()) {
    with_name("CA", [&] { context->add_certificate_authority(asio::buffer(texts.ca)); });
    context->set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert);
  }
  return context;
}

ConnectionPointer make_tls_connection(Server::Impl& server, asio::ip::tcp::socket&& socket) {
  return std::make_shared<StreamConnection<Stream>>(server, Stream(std::move(socket), *server.tls));
}

}  // namespace slotwire::http
