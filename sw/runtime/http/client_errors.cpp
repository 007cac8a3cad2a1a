#include "runtime/http/client_errors.hpp"

#include <cerrno>

#include "runtime/control/printable.hpp"

namespace slotwire::http {
namespace {

constexpr std::size_t kMaxDetail = 200;

std::string detail_of(const FailedRequest& failed) {
  const std::string text = failed.detail.empty() ? curl_easy_strerror(failed.code) : failed.detail;
  return control::printable(text, kMaxDetail);
}

/// libcurl says after how many milliseconds, which makes another text of the same reason each time.
std::string without_times(const std::string& detail) {
  return detail.substr(0, detail.find(" after "));
}

ClientFailure certificate_failure(const FailedRequest& failed, const Url& url) {
  std::string text = "the certificate that " + url.origin() + " shows is not accepted";
  if (!failed.why_certificate.empty()) text += " (" + failed.why_certificate + ")";
  if (failed.issuer.empty()) {
    text += ": " + detail_of(failed);
  } else {
    text += "; its issuer is '" + control::printable(failed.issuer, kMaxDetail) + "'";
  }
  text +=
      ". If the server's certificate is of a CA of your own, give that CA. If a proxy on the way intercepts TLS, its "
      "CA stands there: use that CA only if the proxy may read everything";
  return {FailureKind::certificate, text};
}

ClientFailure connect_failure(const FailedRequest& failed, const std::string& whom) {
  switch (failed.system_error) {
    case ECONNREFUSED:
      return {FailureKind::refused, whom + " refuses the connection: nothing listens there, or a firewall rejects it"};
    case EHOSTUNREACH:
    case ENETUNREACH:
      return {FailureKind::refused, whom + " is unreachable: look at the route, and whether a proxy has to be used"};
    case ECONNRESET:
      return {FailureKind::reset, whom + " reset the connection: a firewall may do that"};
    case ETIMEDOUT:
      return {FailureKind::timeout, whom + " does not answer: a firewall may drop the connection; try a proxy"};
    default:
      return {FailureKind::refused, "cannot connect to " + whom + ": " + detail_of(failed)};
  }
}

}  // namespace

bool ClientFailure::permanent() const {
  return kind == FailureKind::certificate || kind == FailureKind::tls || kind == FailureKind::proxy_login ||
         kind == FailureKind::server_login || kind == FailureKind::proxy_refused || kind == FailureKind::answer;
}

ClientFailure describe(const FailedRequest& failed, const Url& url, const std::string& proxy) {
  const std::string whom = proxy.empty() ? url.origin() : "the proxy " + proxy;
  if (failed.connect_status >= 400) {
    constexpr long kProxyLogin = 407, kServerError = 500;
    if (failed.connect_status == kProxyLogin) return describe_status(kProxyLogin, url, proxy, true, true);
    const std::string text = whom + " does not connect to " + url.host + ":" + std::to_string(url.port) + " (status " +
                             std::to_string(failed.connect_status) + " for CONNECT)";
    if (failed.connect_status >= kServerError) return {FailureKind::refused, text + ": it cannot reach the server"};
    return {FailureKind::proxy_refused,
            text + ": many proxies allow CONNECT to port 443 only; let the server listen there"};
  }
  switch (failed.code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return {FailureKind::resolve, "the name '" + url.host + "' cannot be resolved: check it and this system's DNS; " +
                                        "where only a proxy resolves names, give the proxy"};
    case CURLE_COULDNT_RESOLVE_PROXY:
      return {FailureKind::resolve, "the name of " + whom + " cannot be resolved: check the proxy setting"};
    case CURLE_COULDNT_CONNECT:
      return connect_failure(failed, whom);
    case CURLE_OPERATION_TIMEDOUT:
      return {FailureKind::timeout, "no answer from " + whom + " in time: " + without_times(detail_of(failed))};
    case CURLE_PEER_FAILED_VERIFICATION:
      return certificate_failure(failed, url);
    case CURLE_SSL_CONNECT_ERROR:
      return {FailureKind::tls, "TLS with " + url.origin() + " failed: " + detail_of(failed) +
                                    "; TLS 1.3 is needed there, and a client certificate where the server wants one"};
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
      return {FailureKind::tls, "a certificate, key or CA of this client cannot be used: " + detail_of(failed)};
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
      return {FailureKind::reset, whom + " closed the connection without an answer: " + detail_of(failed)};
    case CURLE_PARTIAL_FILE:
      return {FailureKind::reset, "the answer through " + whom + " was cut short: " + detail_of(failed)};
    case CURLE_WRITE_ERROR:
      if (failed.header_too_large) return {FailureKind::too_large, "the header of the answer is too long"};
      if (failed.body_too_large) return {FailureKind::too_large, "the body of the answer is too long"};
      break;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_HTTP2:
    case CURLE_BAD_CONTENT_ENCODING:
      return {FailureKind::answer, "what answers at " + whom + " speaks no HTTP/1.1: " + detail_of(failed)};
    default:
      break;
  }
  return {FailureKind::other, "the request to " + url.origin() + " failed: " + detail_of(failed)};
}

ClientFailure describe_status(unsigned status, const Url& url, const std::string& proxy, bool proxy_login,
                              bool server_login) {
  const std::string number = "status " + std::to_string(status);
  const std::string way = proxy.empty() ? "" : " (through the proxy " + proxy + ")";
  switch (status) {
    case 401:
      return {FailureKind::server_login, url.origin() + " wants a login (" + number + ")" +
                                             (server_login ? " and does not accept the one that was given"
                                                           : "; give a user and a password for the server")};
    case 407:
      return {FailureKind::proxy_login, "the proxy " + proxy + " wants a login (" + number + ")" +
                                            (proxy_login ? " and does not accept the one that was given"
                                                         : "; give a user and a password for the proxy")};
    case 403:
      return {FailureKind::answer, "access to " + url.text() + way + " is forbidden (" + number +
                                       "): a proxy's rules, or the server's, do not allow it"};
    case 404:
      return {FailureKind::answer,
              "nothing is served at " + url.text() + way + " (" + number + "): check the path of the URL"};
    case 405:
      return {FailureKind::answer, "what answers at " + url.text() + way + " takes no POST (" + number +
                                       "): check the URL, and that the site passes this path on"};
    case 411:
    case 501:
      return {FailureKind::answer, "a proxy before " + url.text() + way + " changes requests (" + number + ")"};
    case 413:
      return {FailureKind::too_large, "a proxy before " + url.text() + way + " limits bodies (" + number + ")"};
    case 429:
      return {FailureKind::other, url.origin() + way + " takes no more requests now (" + number + ")"};
    case 502:
    case 503:
    case 504:
      return {FailureKind::refused,
              "a proxy cannot reach the server of " + url.text() + way + " (" + number + "): is it running?"};
    case 511:
      return {FailureKind::answer, "the network wants a login first (" + number + "): open a web page in a browser"};
    default:
      break;
  }
  return {FailureKind::answer, "what answers at " + url.text() + way + " with " + number +
                                   " is no server of Slotwire: check the URL, and whether the network wants a login in "
                                   "a browser first"};
}

}  // namespace slotwire::http
