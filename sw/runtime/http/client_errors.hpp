// For the sources of the client: errors of libcurl and answers of proxies as sentences that say what to do.
#pragma once
#include <curl/curl.h>

#include <string>

#include "runtime/http/client.hpp"

namespace slotwire::http {

/// What is known about a request that failed.
struct FailedRequest {
  CURLcode code = CURLE_OK;
  std::string detail;           ///< of libcurl's error buffer
  long system_error = 0;        ///< errno of the connection
  long connect_status = 0;      ///< of the proxy's answer to CONNECT
  std::string issuer;           ///< of the certificate that was not accepted
  std::string why_certificate;  ///< OpenSSL's reason
  bool header_too_large = false, body_too_large = false;
};

/// `proxy`: "http://host:port", empty: none.
ClientFailure describe(const FailedRequest& failed, const Url& url, const std::string& proxy);
/// An answer by its status. `login`: whether one was given for whoever asks for it.
ClientFailure describe_status(unsigned status, const Url& url, const std::string& proxy, bool proxy_login,
                              bool server_login);

}  // namespace slotwire::http
