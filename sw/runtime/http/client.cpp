#include "runtime/http/client.hpp"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "runtime/http/client_impl.hpp"

namespace slotwire::http {
namespace {

/// A resolved name is asked for again after so long.
constexpr std::uint64_t kResolvedUs = 60'000'000;
/// A connection that was idle for longer is not used again (seconds): proxies may have closed it.
constexpr long kIdleConnectionSeconds = 110;
constexpr long kSendBufferBytes = 256L << 10U;
constexpr long kReceiveBufferBytes = 128L << 10U;
/// After a login was refused in a session, the scheme is asked for again at most so often.
constexpr std::uint64_t kPrimeAgainUs = 5'000'000;
constexpr std::chrono::microseconds kPrimeTime{20'000'000};

const char* scheme_name(unsigned long scheme) {
  switch (scheme) {
    case CURLAUTH_NEGOTIATE:
      return "Negotiate";
    case CURLAUTH_DIGEST:
      return "Digest";
    case CURLAUTH_BASIC:
      return "Basic";
    default:
      return "";
  }
}

/// What may be used with a login.
unsigned long schemes_for(const Login& login) {
  if (!login.given()) return 0;
  if (login.user.empty()) return CURLAUTH_NEGOTIATE;
  return CURLAUTH_DIGEST | CURLAUTH_BASIC | (login.negotiate ? CURLAUTH_NEGOTIATE : 0UL);
}

unsigned long best_of(unsigned long offered) {
  for (const unsigned long scheme : {CURLAUTH_NEGOTIATE, CURLAUTH_DIGEST, CURLAUTH_BASIC}) {
    if ((offered & scheme) != 0) return scheme;
  }
  return 0;
}

/// The scheme to use from now on. Where libcurl may use one alone it does so at once, and is not told what is wanted.
unsigned long scheme_after(unsigned long offered, const Login& login, bool answered) {
  const unsigned long may = schemes_for(login);
  const bool at_once = offered == 0 && answered && (may & (may - 1)) == 0;
  return at_once ? may : best_of(offered & may);
}

std::string name_text(const X509_NAME* name) {
  std::array<char, 256> text{};
  X509_NAME_oneline(name, text.data(), static_cast<int>(text.size()));
  return text.data();
}

}  // namespace

bool has_login(const ClientOptions& options) {
  if (options.proxy_login.given() || options.server_login.given()) return true;
  const core::Result<Url> url = Url::parse(options.url);
  if (!url.ok()) return false;
  const std::string chosen = options.proxy ? *options.proxy : proxy_of_environment(url.value(), options.environment);
  const core::Result<Url> proxy = Url::parse(chosen, "http");
  return !url.value().user.empty() || (proxy.ok() && !proxy.value().user.empty());
}

Client::Impl::Impl(Loop& event_loop, ClientOptions&& given)
    : loop(event_loop), options(std::move(given)), timer(loop, [this] { act(CURL_SOCKET_TIMEOUT, 0); }) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  core::Result<Url> parsed = Url::parse(options.url);
  if (!parsed.ok()) throw std::runtime_error(parsed.error().text);
  url = std::move(parsed).value();
  const std::string chosen = options.proxy ? *options.proxy : proxy_of_environment(url, options.environment);
  if (!chosen.empty()) {
    core::Result<Url> of_proxy = Url::parse(chosen, "http");
    if (!of_proxy.ok()) throw std::runtime_error("the proxy: " + of_proxy.error().text);
    proxy = std::move(of_proxy).value();
    has_proxy = true;
    proxy_origin = proxy.origin();
  }
  if (!options.proxy_login.given()) options.proxy_login = {proxy.user, proxy.password, false};
  if (!options.server_login.given()) options.server_login = {url.user, url.password, false};
  if ((has_proxy && options.proxy_login.given()) || options.server_login.given()) prime_state = Prime::wanted;
  report.proxy = proxy_origin;
  for (const char* const field : {"Content-Type: application/octet-stream", "Accept: application/octet-stream",
                                  "Cache-Control: no-store, no-transform", "Expect:"}) {
    append(headers, field);
  }
  multi.reset(curl_multi_init());
  if (!multi) throw std::runtime_error("libcurl cannot be set up: no memory");
  const auto connections = static_cast<long>(options.connections);
  curl_multi_setopt(multi.get(), CURLMOPT_SOCKETFUNCTION, &Impl::on_socket);
  curl_multi_setopt(multi.get(), CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi.get(), CURLMOPT_TIMERFUNCTION, &Impl::on_timer);
  curl_multi_setopt(multi.get(), CURLMOPT_TIMERDATA, this);
  curl_multi_setopt(multi.get(), CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_NOTHING));
  curl_multi_setopt(multi.get(), CURLMOPT_MAX_TOTAL_CONNECTIONS, connections);
  curl_multi_setopt(multi.get(), CURLMOPT_MAXCONNECTS, connections);
  idle.push_back(make_easy());
}

Client::Impl::~Impl() {
  *alive = false;
  for (const auto& [number, transfer] : transfers) cancel(*transfer);
  idle.clear();
  multi.reset();  // tells on_socket() and on_close() about every connection that it closes
}

Easy Client::Impl::make_easy() {
  Easy easy(curl_easy_init());
  if (!easy) throw std::runtime_error("libcurl cannot be set up: no memory");
  CURL* const e = easy.get();
  set(e, CURLOPT_URL, url.text().c_str());
  set(e, CURLOPT_PROTOCOLS_STR, "http,https");
  set(e, CURLOPT_NOSIGNAL, 1L);
  set(e, CURLOPT_PATH_AS_IS, 1L);
  set(e, CURLOPT_FOLLOWLOCATION, 0L);
  set(e, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(e, CURLOPT_HTTPHEADER, headers.get());
  set(e, CURLOPT_USERAGENT, "slotwire/" SLOTWIRE_VERSION);
  set(e, CURLOPT_TCP_KEEPALIVE, 1L);
  set(e, CURLOPT_CLOSESOCKETFUNCTION, &Impl::on_close);
  set(e, CURLOPT_CLOSESOCKETDATA, this);
  set(e, CURLOPT_MAXAGE_CONN, kIdleConnectionSeconds);
  set(e, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_time.count() / 1000));
  set(e, CURLOPT_UPLOAD_BUFFERSIZE, kSendBufferBytes);
  set(e, CURLOPT_BUFFERSIZE, kReceiveBufferBytes);
  set(e, CURLOPT_WRITEFUNCTION, &Impl::on_body);
  set(e, CURLOPT_HEADERFUNCTION, &Impl::on_header);
  // What the proxy says to CONNECT is no header of the answer.
  set(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  set(e, CURLOPT_NOPROXY, "");
  set(e, CURLOPT_PROXY, has_proxy ? proxy_origin.c_str() : "");
  if (has_proxy && options.proxy_login.given()) {
    set(e, CURLOPT_PROXYUSERNAME, options.proxy_login.user.c_str());
    set(e, CURLOPT_PROXYPASSWORD, options.proxy_login.password.c_str());
  }
  if (options.server_login.given()) {
    set(e, CURLOPT_USERNAME, options.server_login.user.c_str());
    set(e, CURLOPT_PASSWORD, options.server_login.password.c_str());
  }
  for (const auto version : {CURLOPT_SSLVERSION, CURLOPT_PROXY_SSLVERSION}) {
    set(e, version, static_cast<long>(CURL_SSLVERSION_TLSv1_3));
  }
  if (!options.tls.ca.empty()) {
    set_blob(e, CURLOPT_CAINFO_BLOB, options.tls.ca);
    set_blob(e, CURLOPT_PROXY_CAINFO_BLOB, options.tls.ca);
  }
  if (!options.tls.certificate.empty()) {
    set_blob(e, CURLOPT_SSLCERT_BLOB, options.tls.certificate);
    set_blob(e, CURLOPT_SSLKEY_BLOB, options.tls.key);
  }
  set(e, CURLOPT_SSL_CTX_FUNCTION, &Impl::on_tls);
  set(e, CURLOPT_SSL_CTX_DATA, this);
  return easy;
}

// ---- the way of a request ----

Client::Call Client::Impl::add(bool is_get, Bytes body, std::chrono::microseconds time, ClientDone done) {
  const auto transfer = std::make_shared<Transfer>();
  transfer->owner = this;
  transfer->number = ++last_number;
  transfer->is_get = is_get;
  transfer->body = std::move(body);
  transfer->end_us = Loop::now_us() + static_cast<std::uint64_t>(time.count());
  transfer->done = std::move(done);
  transfers.emplace(transfer->number, transfer);
  go_on(transfer);
  return Call(transfer);
}

/// Starts a request, or puts it where it waits for what it needs first.
void Client::Impl::go_on(const Pointer& transfer) {
  if (!transfer->priming && (prime_state == Prime::wanted || prime_state == Prime::under_way)) {
    waiting.push_back(transfer);
    if (prime_state == Prime::wanted) prime();
    return;
  }
  if (resolve_first(transfer)) return;
  if (transfer->preparing) return later(transfer, ClientResponse{});
  start(*transfer);
}

Client::Call Client::Impl::prepare(ClientDone done) {
  const auto transfer = std::make_shared<Transfer>();
  transfer->owner = this;
  transfer->number = ++last_number;
  transfer->preparing = true;
  transfer->done = std::move(done);
  transfers.emplace(transfer->number, transfer);
  go_on(transfer);
  return Call(transfer);
}

Easy Client::Impl::make_tunnel_easy() {
  Easy easy = make_easy();
  CURL* const e = easy.get();
  set(e, CURLOPT_CONNECT_ONLY, 1L);
  // Proxies that know nothing of an upgrade pass it within a tunnel.
  if (has_proxy) set(e, CURLOPT_HTTPPROXYTUNNEL, 1L);
  set(e, CURLOPT_RESOLVE, resolved.get());
  set_schemes(e);
  ++report.connections;
  return easy;
}

/// True: the name is being resolved, and the request waits.
bool Client::Impl::resolve_first(const Pointer& transfer) {
  const std::string& host = has_proxy ? proxy.host : url.host;
  const std::uint16_t port = has_proxy ? proxy.port : url.port;
  if (!options.resolve) return false;
  if (!resolving && resolved && Loop::now_us() < resolved_us + kResolvedUs) return false;
  waiting.push_back(transfer);
  if (resolving) return true;
  resolving = true;
  options.resolve(host, [this, host, port, lives = alive](const core::Result<std::vector<carriers::Address>>& found) {
    if (!*lives) return;
    resolving = false;
    resolved_us = Loop::now_us();
    if (found.ok() && !found.value().empty()) {
      std::string entry;
      for (const carriers::Address& address : found.value()) {
        const std::string text = address.with_port(0).to_string();
        entry += (entry.empty() ? "" : ",") + text.substr(0, text.rfind(':'));
      }
      resolved.reset();
      append(resolved, host + ":" + std::to_string(port) + ":" + entry);
    }
    std::deque<Pointer> now = std::exchange(waiting, {});
    for (const Pointer& each : now) {
      if (!each->done) continue;
      if (resolved) {
        go_on(each);
      } else {
        later(each, ClientFailure{FailureKind::resolve,
                                  found.ok() ? "the name '" + host + "' has no address" : found.error().text});
      }
    }
  });
  return true;
}

void Client::Impl::start(Transfer& transfer) {
  const std::uint64_t now = Loop::now_us();
  const std::uint64_t left_ms = transfer.end_us > now ? (transfer.end_us - now + 999) / 1000 : 1;
  if (!idle.empty() && !transfer.priming) {
    transfer.easy = std::move(idle.back());
    idle.pop_back();
  } else {
    transfer.easy = make_easy();
  }
  CURL* const e = transfer.easy.get();
  transfer.active = true;
  set(e, CURLOPT_PRIVATE, &transfer);
  set(e, CURLOPT_WRITEDATA, &transfer);
  set(e, CURLOPT_HEADERDATA, &transfer);
  set(e, CURLOPT_ERRORBUFFER, transfer.error.data());
  set(e, CURLOPT_TIMEOUT_MS, static_cast<long>(left_ms));
  set(e, CURLOPT_RESOLVE, resolved.get());
  if (transfer.is_get) {
    set(e, CURLOPT_HTTPGET, 1L);
  } else {
    set(e, CURLOPT_POST, 1L);
    set(e, CURLOPT_POSTFIELDS, reinterpret_cast<const char*>(transfer.body.data()));
    set(e, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(transfer.body.size()));
  }
  if (transfer.priming) {
    if (const auto schemes = schemes_for(options.proxy_login)) set(e, CURLOPT_PROXYAUTH, static_cast<long>(schemes));
    if (const auto schemes = schemes_for(options.server_login)) set(e, CURLOPT_HTTPAUTH, static_cast<long>(schemes));
  } else {
    set_schemes(e);
  }
  ++report.requests;
  curl_multi_add_handle(multi.get(), e);
}

void Client::Impl::set_schemes(CURL* easy) const {
  set(easy, CURLOPT_PROXYAUTH, static_cast<long>(proxy_scheme != 0 ? proxy_scheme : CURLAUTH_BASIC));
  set(easy, CURLOPT_HTTPAUTH, static_cast<long>(server_scheme != 0 ? server_scheme : CURLAUTH_BASIC));
}

void Client::Impl::cancel(Transfer& transfer) {
  if (transfer.active) {
    curl_multi_remove_handle(multi.get(), transfer.easy.get());
    transfer.active = false;
    // What libcurl knows of the other end's authentication stays with the handle.
    if (*alive && !transfer.priming) idle.push_back(std::move(transfer.easy));
    transfer.easy.reset();
  }
  transfer.done = nullptr;
  if (*alive) transfers.erase(transfer.number);
}

// ---- authentication ----

/// Asks with a GET which scheme is wanted.
void Client::Impl::prime() {
  prime_state = Prime::under_way;
  const auto transfer = std::make_shared<Transfer>();
  transfer->owner = this;
  transfer->number = ++last_number;
  transfer->is_get = transfer->priming = true;
  transfer->end_us = Loop::now_us() + static_cast<std::uint64_t>(kPrimeTime.count());
  transfer->done = [this, t = std::weak_ptr<Transfer>(transfer)](ClientOutcome&& outcome) {
    const auto held = t.lock();
    primed(outcome, held ? held->easy.get() : nullptr);
  };
  transfers.emplace(transfer->number, transfer);
  prime_call = Call(transfer);
  go_on(transfer);
}

void Client::Impl::primed(const ClientOutcome& outcome, CURL* easy) {
  primed_us = Loop::now_us();
  const auto* const response = std::get_if<ClientResponse>(&outcome);
  const bool answered = response != nullptr && response->status != 407 && response->status != 401;
  if (easy != nullptr) {
    long offered = 0;
    if (curl_easy_getinfo(easy, CURLINFO_PROXYAUTH_AVAIL, &offered) == CURLE_OK) {
      proxy_scheme = scheme_after(static_cast<unsigned long>(offered), options.proxy_login, answered);
    }
    if (curl_easy_getinfo(easy, CURLINFO_HTTPAUTH_AVAIL, &offered) == CURLE_OK) {
      server_scheme = scheme_after(static_cast<unsigned long>(offered), options.server_login, answered);
    }
  }
  report.proxy_scheme = scheme_name(proxy_scheme);
  report.server_scheme = scheme_name(server_scheme);
  // Whoever waits gets the answer to this question when it is a refusal, and the next request asks again.
  prime_state = answered ? Prime::done : Prime::wanted;
  std::deque<Pointer> now = std::exchange(waiting, {});
  for (const Pointer& each : now) {
    if (!each->done) continue;
    if (answered) {
      go_on(each);
    } else {
      later(each, outcome);
    }
  }
}

// ---- libcurl ----

int Client::Impl::on_socket(CURL*, curl_socket_t socket, int what, void* self, void*) {
  auto& client = *static_cast<Impl*>(self);
  // libcurl has no interest in a connection between two requests. The watch stays until the connection is closed, since
  // to begin and to end watching cost a system call or two each.
  if (what == CURL_POLL_REMOVE) {
    if (const auto found = client.watches.find(socket); found != client.watches.end()) found->second->want({});
    return 0;
  }
  try {
    auto& watch = client.watches[socket];
    if (!watch) {
      ++client.report.connections;
      watch = std::make_unique<Watch>(client.loop, socket, [&client, socket](Readiness ready) {
        client.act(socket, (ready.readable ? CURL_CSELECT_IN : 0) | (ready.writable ? CURL_CSELECT_OUT : 0));
      });
    }
    watch->want({(what & CURL_POLL_IN) != 0, (what & CURL_POLL_OUT) != 0});
  } catch (const std::exception&) {
    // Out of descriptors or memory: libcurl ends the transfer.
    client.watches.erase(socket);
    return -1;
  }
  return 0;
}

int Client::Impl::on_timer(CURLM*, long time_ms, void* self) {
  auto& client = *static_cast<Impl*>(self);
  if (time_ms < 0) {
    client.timer.cancel();
  } else if (time_ms == 0) {
    // libcurl asks for this with every request.
    client.timer.cancel();
    if (std::exchange(client.due, true)) return 0;
    client.loop.post([&client, lives = client.alive] {
      if (!*lives) return;
      client.due = false;
      client.act(CURL_SOCKET_TIMEOUT, 0);
    });
  } else {
    client.timer.after(std::chrono::milliseconds(time_ms));
  }
  return 0;
}

/// A connection ends: its watch must not outlive the descriptor.
int Client::Impl::on_close(void* self, curl_socket_t socket) {
  static_cast<Impl*>(self)->watches.erase(socket);
  return ::close(socket);
}

std::size_t Client::Impl::on_body(char* data, std::size_t size, std::size_t count, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  const std::size_t bytes = size * count;
  if (transfer.received.size() + bytes > transfer.owner->options.response_body_bytes) {
    transfer.failed.body_too_large = true;
    return 0;
  }
  if (transfer.received.empty()) {
    curl_off_t length = -1;
    curl_easy_getinfo(transfer.easy.get(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (length > 0) {
      transfer.received.reserve(
          std::min(static_cast<std::size_t>(length), transfer.owner->options.response_body_bytes));
    }
  }
  const auto* const first = reinterpret_cast<const std::byte*>(data);
  transfer.received.insert(transfer.received.end(), first, first + bytes);
  return bytes;
}

std::size_t Client::Impl::on_header(char* data, std::size_t size, std::size_t count, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  const std::size_t bytes = size * count;
  // Each answer begins anew: a refusal before the login, "100 Continue".
  if (bytes > 5 && std::memcmp(data, "HTTP/", 5) == 0) {
    transfer.header_bytes = 0;
    transfer.received.clear();
  }
  transfer.header_bytes += bytes;
  if (transfer.header_bytes > transfer.owner->options.response_header_bytes) {
    transfer.failed.header_too_large = true;
    return 0;
  }
  return bytes;
}

CURLcode Client::Impl::on_tls(CURL*, void* context, void* self) {
  auto* const tls = static_cast<SSL_CTX*>(context);
  SSL_CTX_set_app_data(tls, self);
  SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, &Impl::on_certificate);
  return CURLE_OK;
}

/// Only remembers what was refused; OpenSSL decides.
int Client::Impl::on_certificate(int good, X509_STORE_CTX* store) {
  if (good == 1) return good;
  auto* const ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* const client = static_cast<Impl*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  const X509* const certificate = X509_STORE_CTX_get_current_cert(store);
  client->why_certificate = X509_verify_cert_error_string(X509_STORE_CTX_get_error(store));
  if (certificate != nullptr) client->issuer = name_text(X509_get_issuer_name(certificate));
  return good;
}

void Client::Impl::act(curl_socket_t socket, int events) {
  int running = 0;
  curl_multi_socket_action(multi.get(), socket, events, &running);
  collect();
}

void Client::Impl::collect() {
  std::vector<std::pair<std::uint64_t, CURLcode>> ended;
  int left = 0;
  while (const CURLMsg* const message = curl_multi_info_read(multi.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    Transfer* transfer = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    ended.emplace_back(transfer->number, message->data.result);
  }
  const auto lives = alive;
  for (const auto& [number, code] : ended) {
    // One that ended before may have cancelled this one, or ended the client.
    if (!*lives) return;
    if (const auto found = transfers.find(number); found != transfers.end()) finish(Pointer(found->second), code);
  }
}

ClientOutcome Client::Impl::outcome_of(Transfer& transfer, CURLcode code) const {
  CURL* const e = transfer.easy.get();
  long status = 0;
  curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &status);
  if (code == CURLE_OK) {
    const char* type = nullptr;
    curl_easy_getinfo(e, CURLINFO_CONTENT_TYPE, &type);
    constexpr const char* kBinary = "application/octet-stream";
    const bool binary = type != nullptr && std::strncmp(type, kBinary, std::strlen(kBinary)) == 0;
    return ClientResponse{static_cast<unsigned>(status), binary, std::move(transfer.received)};
  }
  FailedRequest& failed = transfer.failed;
  failed.code = code;
  failed.detail = transfer.error.data();
  curl_easy_getinfo(e, CURLINFO_OS_ERRNO, &failed.system_error);
  curl_easy_getinfo(e, CURLINFO_HTTP_CONNECTCODE, &failed.connect_status);
  failed.issuer = issuer;
  failed.why_certificate = why_certificate;
  ClientFailure failure = describe(failed, url, proxy_origin);
  if (failure.kind == FailureKind::proxy_login) {
    failure = describe_status(407, url, proxy_origin, options.proxy_login.given(), options.server_login.given());
  }
  return failure;
}

void Client::Impl::finish(const Pointer& transfer, CURLcode code) {
  ClientOutcome outcome = outcome_of(*transfer, code);
  curl_multi_remove_handle(multi.get(), transfer->easy.get());
  transfer->active = false;
  const auto* const response = std::get_if<ClientResponse>(&outcome);
  const bool refused = response != nullptr && (response->status == 407 || response->status == 401);
  if (refused && prime_state == Prime::done && Loop::now_us() > primed_us + kPrimeAgainUs) prime_state = Prime::wanted;
  transfers.erase(transfer->number);
  ClientDone done = std::exchange(transfer->done, nullptr);
  // A priming request looks at its handle once more.
  if (!transfer->priming) idle.push_back(std::move(transfer->easy));
  done(std::move(outcome));
}

/// Ends a request that was not started, from the loop.
void Client::Impl::later(const Pointer& transfer, ClientOutcome outcome) {
  loop.post([this, lives = alive, transfer, result = std::move(outcome)]() mutable {
    if (!*lives || !transfer->done) return;
    transfers.erase(transfer->number);
    const ClientDone done = std::exchange(transfer->done, nullptr);
    done(std::move(result));
  });
}

// ---- Client ----

Client::Client(Loop& loop, ClientOptions options) : impl_(std::make_unique<Impl>(loop, std::move(options))) {}
Client::~Client() = default;

Client::Call Client::post(Bytes body, std::chrono::microseconds time, ClientDone done) {
  return impl_->add(false, std::move(body), time, std::move(done));
}

Client::Call Client::get(std::chrono::microseconds time, ClientDone done) {
  return impl_->add(true, {}, time, std::move(done));
}

void Client::Call::cancel() {
  const auto transfer = transfer_.lock();
  transfer_.reset();
  if (transfer && transfer->done) transfer->owner->cancel(*transfer);
}

Client::Call& Client::Call::operator=(Call&& other) noexcept {
  if (this != &other) {
    cancel();
    transfer_ = std::move(other.transfer_);
  }
  return *this;
}

ClientFailure Client::explain(const ClientResponse& response) const {
  return describe_status(response.status, impl_->url, impl_->proxy_origin, impl_->options.proxy_login.given(),
                         impl_->options.server_login.given());
}

const Url& Client::url() const {
  return impl_->url;
}

ClientReport Client::report() const {
  return impl_->report;
}

}  // namespace slotwire::http
