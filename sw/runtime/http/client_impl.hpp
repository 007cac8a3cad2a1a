// For the sources of the client: its state, and libcurl's handles as values that free themselves.
#pragma once
#include <curl/curl.h>
#include <openssl/x509.h>

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "runtime/http/client.hpp"
#include "runtime/http/client_errors.hpp"

namespace slotwire::http {

struct FreeEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
using Easy = std::unique_ptr<CURL, FreeEasy>;
struct FreeMulti {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using List = std::unique_ptr<curl_slist, FreeList>;

/// Sets an option; libcurl of Debian knows all that are used, so a refusal is a mistake in a value.
template <class Value>
void set(CURL* easy, CURLoption option, Value value) {
  const CURLcode code = curl_easy_setopt(easy, option, value);
  if (code != CURLE_OK) throw std::runtime_error(std::string("libcurl refuses an option: ") + curl_easy_strerror(code));
}

inline void set_blob(CURL* easy, CURLoption option, const std::string& text) {
  curl_blob blob{};
  blob.data = const_cast<char*>(text.data());
  blob.len = text.size();
  blob.flags = CURL_BLOB_NOCOPY;
  set(easy, option, &blob);
}

inline void append(List& list, const std::string& text) {
  curl_slist* const longer = curl_slist_append(list.get(), text.c_str());
  if (longer == nullptr) throw std::bad_alloc();
  static_cast<void>(list.release());
  list.reset(longer);
}

struct Client::Transfer {
  Impl* owner = nullptr;
  std::uint64_t number = 0;
  bool is_get = false, priming = false, active = false;
  bool preparing = false;  ///< no request: it only waits for what one would wait for
  Easy easy;
  Bytes body;
  std::uint64_t end_us = 0;  ///< time-out
  ClientDone done;
  Bytes received;
  std::size_t header_bytes = 0;
  std::array<char, CURL_ERROR_SIZE> error{};
  FailedRequest failed;
};

struct Client::Impl {
  Impl(Loop& event_loop, ClientOptions&& given);
  ~Impl();

  using Pointer = std::shared_ptr<Transfer>;

  Call add(bool is_get, Bytes body, std::chrono::microseconds time, ClientDone done);
  /// Calls `done` with an empty answer once a connection may be made: the name and the schemes of logins are known.
  Call prepare(ClientDone done);
  /// For a connection alone, through a proxy's CONNECT if there is a proxy.
  Easy make_tunnel_easy();
  void go_on(const Pointer& transfer);
  bool resolve_first(const Pointer& transfer);
  void start(Transfer& transfer);
  void cancel(Transfer& transfer);
  Easy make_easy();
  void set_schemes(CURL* easy) const;
  void prime();
  void primed(const ClientOutcome& outcome, CURL* easy);
  void act(curl_socket_t socket, int events);
  void collect();
  void finish(const Pointer& transfer, CURLcode code);
  ClientOutcome outcome_of(Transfer& transfer, CURLcode code) const;
  void later(const Pointer& transfer, ClientOutcome outcome);

  static int on_socket(CURL*, curl_socket_t socket, int what, void* self, void*);
  static int on_timer(CURLM*, long time_ms, void* self);
  static int on_close(void* self, curl_socket_t socket);
  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self);
  static CURLcode on_tls(CURL*, void* context, void* self);
  static int on_certificate(int good, X509_STORE_CTX* store);

  Loop& loop;
  ClientOptions options;
  Url url, proxy;
  bool has_proxy = false;
  std::string proxy_origin;
  List headers, resolved;
  std::unique_ptr<CURLM, FreeMulti> multi;
  Timer timer;
  bool due = false;  ///< act() is called by the loop without a timer
  std::map<curl_socket_t, std::unique_ptr<Watch>> watches;
  std::map<std::uint64_t, Pointer> transfers;
  std::deque<Pointer> waiting;  ///< for the scheme, or for the name
  std::vector<Easy> idle;
  std::uint64_t last_number = 0;
  /// The certificate that was refused last; connections are made one after another often enough.
  std::string issuer, why_certificate;
  // Authentication.
  enum class Prime : std::uint8_t { needless, wanted, under_way, done } prime_state = Prime::needless;
  unsigned long proxy_scheme = 0, server_scheme = 0;
  std::uint64_t primed_us = 0;
  Call prime_call;
  // Names.
  bool resolving = false;
  std::uint64_t resolved_us = 0;
  ClientReport report;
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);
};

}  // namespace slotwire::http
