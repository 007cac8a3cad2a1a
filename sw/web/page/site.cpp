#include "web/page/site.hpp"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <optional>
#include <set>
#include <utility>

#include "web/page/assets.hpp"
#include "web/page/metrics.hpp"

namespace slotwire::web {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;

constexpr std::size_t kMaxHeader = 8192;
constexpr std::size_t kMaxBody = 1024;
constexpr std::chrono::seconds kRequestTime{10}, kIdleTime{60};
constexpr std::string_view kCookie = "slotwire_page";

using RequestMessage = http::request<http::string_body>;
using ResponseMessage = http::response<http::string_body>;

std::string_view view(beast::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace

bool is_own_host(std::string_view host, const std::vector<std::string>& names) {
  if (std::find(names.begin(), names.end(), "*") != names.end()) return true;
  std::string_view name = host;
  if (!name.empty() && name.front() == '[') {
    const std::size_t end = name.find(']');
    if (end == std::string_view::npos) return false;
    name = name.substr(1, end - 1);
  } else if (const std::size_t colon = name.rfind(':'); colon != std::string_view::npos) {
    name = name.substr(0, colon);
  }
  if (name == "localhost" || std::find(names.begin(), names.end(), name) != names.end()) return true;
  boost::system::error_code error;
  asio::ip::make_address(name, error);
  return !error;
}

class Connection;

struct Site::Impl : std::enable_shared_from_this<Site::Impl> {
  Impl(asio::io_context& io, SiteOptions site_options, Login site_login, Snapshots& all)
      : loop(io), acceptor(io), options(std::move(site_options)), login(std::move(site_login)), snapshots(all) {}

  void listen(const tcp::endpoint& address) {
    acceptor.open(address.protocol());
    acceptor.set_option(asio::socket_base::reuse_address(true));
    acceptor.bind(address);
    acceptor.listen();
    accept();
  }
  void accept();

  asio::io_context& loop;
  tcp::acceptor acceptor;
  SiteOptions options;
  Login login;
  Snapshots& snapshots;
  std::set<Connection*> connections;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<Site::Impl> site, tcp::socket socket)
      : site_(std::move(site)), stream_(std::move(socket)) {
    site_->connections.insert(this);
  }
  ~Connection() { site_->connections.erase(this); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void read() {
    parser_.emplace();
    parser_->header_limit(kMaxHeader);
    parser_->body_limit(kMaxBody);
    stream_.expires_after(kIdleTime);
    http::async_read_some(stream_, buffer_, *parser_,
                          [self = shared_from_this()](auto error, auto) { self->on_some(error); });
  }

  void close() {
    boost::system::error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_both, ignored);
    stream_.close();
  }

 private:
  void on_some(const boost::system::error_code& error) {
    if (error) return on_error(error);
    if (parser_->is_done()) return handle();
    stream_.expires_after(kRequestTime);
    http::async_read(stream_, buffer_, *parser_, [self = shared_from_this()](auto later, auto) {
      if (later) return self->on_error(later);
      self->handle();
    });
  }

  void on_error(const boost::system::error_code& error) {
    if (error == http::error::end_of_stream || error == beast::error::timeout ||
        error == asio::error::operation_aborted || error == asio::error::connection_reset ||
        error == asio::error::eof || error == http::error::partial_message)
      return close();
    const bool large = error == http::error::header_limit || error == http::error::body_limit;
    close_after_ = true;
    answer(large ? http::status::payload_too_large : http::status::bad_request, "text/plain", error.message() + "\n");
  }

  bool has_session() {
    return site_->login.is_session(cookie(view(request_[http::field::cookie]), kCookie), Login::Clock::now());
  }
  bool has_token() const {
    const std::string_view given = view(request_[http::field::authorization]);
    // RFC 7235: the scheme in any case, then one blank or more.
    constexpr std::string_view kScheme = "Bearer";
    const std::size_t blanks = std::min(given.find_first_not_of(' ', kScheme.size()), given.size());
    return boost::beast::iequals(given.substr(0, kScheme.size()), kScheme) && blanks > kScheme.size() &&
           site_->login.is_token(given.substr(blanks));
  }

  void handle() {
    request_ = parser_->release();
    close_after_ = !request_.keep_alive();
    if (!is_own_host(view(request_[http::field::host]), site_->options.hosts)) {
      return answer(http::status::misdirected_request, "text/plain",
                    "This name is not this page's: use its address, or start slotwire-page with --host NAME.\n");
    }
    const std::string target(view(request_.target()).substr(0, request_.target().find('?')));
    const bool get = request_.method() == http::verb::get || request_.method() == http::verb::head;
    if (request_.method() == http::verb::post && target == "/api/login") return log_in();
    if (request_.method() == http::verb::post && target == "/api/logout") {
      site_->login.end(cookie(view(request_[http::field::cookie]), kCookie));
      return answer(http::status::no_content, "", "");
    }
    if (!get) {
      if (target == "/api/login" || target == "/api/logout" || find_asset(target) != nullptr)
        return answer(http::status::method_not_allowed, "text/plain", "Not with this method.\n");
      return not_found();
    }
    if (const Asset* asset = find_asset(target)) return answer(http::status::ok, asset->type, std::string(asset->text));
    if (target == "/api/state") {
      if (!has_session() && !has_token()) return no_access();
      return with_snapshot([this](const Snapshot& snapshot) { show_state(snapshot); });
    }
    if (target == "/metrics") {
      if (!site_->options.open_metrics && !has_token() && !has_session()) return no_access();
      return with_snapshot([this](const Snapshot& snapshot) {
        const MetricsFormat format = metrics_format(view(request_[http::field::accept]));
        answer(http::status::ok, metrics_type(format), metrics_text(snapshot, format));
      });
    }
    not_found();
  }

  void log_in() {
    // A page of another origin cannot send this type without asking first.
    if (view(request_[http::field::content_type]) != "application/json")
      return answer(http::status::unsupported_media_type, "text/plain", "application/json is expected.\n");
    const auto body = control::Json::parse(request_.body(), nullptr, false);
    const bool is_object = body.is_object() && body.contains("token") && body["token"].is_string();
    if (!is_object || !site_->login.is_token(body["token"].get<std::string>())) {
      return answer(http::status::forbidden, "text/plain",
                    "That is not the token; slotwire-page printed it when it was started, or --token-file has it.\n");
    }
    cookie_ =
        std::string(kCookie) + "=" + site_->login.begin(Login::Clock::now()) + "; Path=/; HttpOnly; SameSite=Strict";
    answer(http::status::no_content, "", "");
  }

  void no_access() {
    answer(http::status::unauthorized, "text/plain", "Log in on the page, or send 'Authorization: Bearer TOKEN'.\n");
  }
  void not_found() { answer(http::status::not_found, "text/plain", "There is nothing here.\n"); }

  template <typename Show>
  void with_snapshot(Show show) {
    // No limit of time of ours: slotwired's answer has one.
    stream_.expires_never();
    site_->snapshots.get([self = shared_from_this(), show](SnapshotPtr snapshot) {
      asio::post(self->site_->loop, [self, show, snapshot] { show(*snapshot); });
    });
  }

  void show_state(const Snapshot& snapshot) {
    const auto since = snapshot.when.time_since_epoch();
    const control::Json state{{"when_ms", std::chrono::duration_cast<std::chrono::milliseconds>(since).count()},
                              {"trouble", snapshot.trouble},
                              {"node", snapshot.node},
                              {"slots", snapshot.slots},
                              {"sessions", snapshot.sessions},
                              {"figures", snapshot.figures},
                              {"inspections", snapshot.inspections},
                              {"figure_bounds_us", kFigureBoundsUs},
                              {"answers",
                               {{"bounds", AnswerTimes::kBounds},
                                {"cumulative", snapshot.answer_times.cumulative()},
                                {"count", snapshot.answer_times.count()}}}};
    answer(http::status::ok, "application/json", state.dump(-1, ' ', false, control::Json::error_handler_t::replace));
  }

  void answer(http::status status, std::string_view type, std::string body) {
    auto response = std::make_shared<ResponseMessage>(status, 11);
    response->set(http::field::server, "slotwire-page");
    response->set(http::field::cache_control, "no-store");
    response->set("X-Content-Type-Options", "nosniff");
    response->set("Content-Security-Policy",
                  "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'");
    response->set("Referrer-Policy", "no-referrer");
    if (!type.empty()) response->set(http::field::content_type, beast::string_view(type.data(), type.size()));
    if (!cookie_.empty()) response->set(http::field::set_cookie, std::exchange(cookie_, ""));
    if (status == http::status::unauthorized) response->set(http::field::www_authenticate, "Bearer");
    response->keep_alive(!close_after_);
    const bool head = request_.method() == http::verb::head;
    const std::size_t length = body.size();
    if (!head) response->body() = std::move(body);
    if (status != http::status::no_content) response->content_length(length);
    stream_.expires_after(kRequestTime);
    http::async_write(stream_, *response, [self = shared_from_this(), response](auto error, auto) {
      if (error || self->close_after_) return self->close();
      self->read();
    });
  }

  std::shared_ptr<Site::Impl> site_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_{kMaxHeader + kMaxBody};
  std::optional<http::request_parser<http::string_body>> parser_;
  RequestMessage request_;
  std::string cookie_;
  bool close_after_ = false;
};

void Site::Impl::accept() {
  acceptor.async_accept([self = shared_from_this()](const boost::system::error_code& error, tcp::socket socket) {
    if (error == asio::error::operation_aborted) return;
    // Beyond the limit a connection is closed at once; out of descriptors, the next one is tried all the same.
    if (!error && self->connections.size() < self->options.connections)
      std::make_shared<Connection>(self, std::move(socket))->read();
    self->accept();
  });
}

Site::Site(asio::io_context& loop, tcp::endpoint address, SiteOptions options, Login login, Snapshots& snapshots)
    : impl_(std::make_shared<Impl>(loop, std::move(options), std::move(login), snapshots)) {
  impl_->listen(address);
}

Site::~Site() {
  boost::system::error_code ignored;
  impl_->acceptor.close(ignored);
  for (Connection* connection : impl_->connections) connection->close();
}

tcp::endpoint Site::address() const {
  return impl_->acceptor.local_endpoint();
}

}  // namespace slotwire::web
