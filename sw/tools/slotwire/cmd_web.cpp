// slotwire web: hands HTTP requests that arrive through slots to applications.
#include <sys/signalfd.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>

#include "tools/slotwire/common.hpp"
#include "tools/slotwire/web/web.hpp"
#include "tools/slotwire/web/web_log.hpp"
#include "web/bridge/address.hpp"
#include "web/bridge/bridge.hpp"
#include "web/bridge/loop.hpp"
#include "web/bridge/processes.hpp"

namespace slotwire::cli {
namespace {

using std::chrono::microseconds;
namespace bridge = web::bridge;

struct Options {
  Common common;
  std::string service, http, fastcgi, start;
  unsigned processes = 1;
  std::size_t connections = 1024, queue = 1024, at_once = 0, unfinished_heads = 64, process_heads = 32;
  std::uint64_t max_body = 0;
  std::uint64_t max_head = std::uint64_t{64} << 10U;
  microseconds drain{30'000'000}, silence{60'000'000}, connect{5'000'000}, wait{30'000'000}, keep{4'000'000};
  microseconds start_time{30'000'000}, end_time{10'000'000};
  microseconds health_interval{5'000'000}, health_timeout{2'000'000};
  web::bridge::HealthOptions health;
  web::bridge::SpoolOptions spool;
  web::bridge::ErrorLineOptions errors;
  web::bridge::ScriptOptions script;
  bool quiet = false;
};

/// Requests at one time when nobody says: of an HTTP application, and of PHP-FPM as Debian configures it.
constexpr std::size_t kHttpAtOnce = 128;
constexpr std::size_t kFastCgiAtOnce = 5;

/// SIGTERM, SIGINT and SIGHUP as events of the loop.
class Signals final : public bridge::Source {
 public:
  explicit Signals(bridge::Loop& loop) : loop_(loop) {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&set, signal);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    fd_ = slot::Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd_ || !loop_.add(fd_.get(), EPOLLIN, *this))
      throw CommandError(kExitFailed, std::string("cannot watch signals: ") + std::strerror(errno));
  }
  ~Signals() override { loop_.remove(fd_.get(), *this); }
  void on_events(std::uint32_t) override {
    signalfd_siginfo info{};
    while (::read(fd_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
      if (info.ssi_signo == SIGHUP) {
        if (on_hangup) on_hangup();
      } else if (on_stop) {
        on_stop();
      }
    }
  }
  std::function<void()> on_hangup, on_stop;

 private:
  bridge::Loop& loop_;
  slot::Fd fd_;
};

/// Without slashes at the end.
void trim(std::string& directory) {
  while (directory.size() > 1 && directory.ends_with('/')) directory.pop_back();
}

void check_root(const bridge::ScriptOptions& script) {
  if (!script.root.starts_with('/'))
    throw CommandError(kExitUsage, "--fastcgi needs --root, the directory of the scripts as an absolute path");
  if (!script.local_root.empty() && !script.local_root.starts_with('/'))
    throw CommandError(kExitUsage, "--local-root '" + script.local_root + "' must be an absolute path");
  std::error_code error;
  if (!script.sees_root || std::filesystem::is_directory(script.seen_root(), error)) return;
  throw CommandError(kExitUsage, std::string(script.local_root.empty() ? "--root '" : "--local-root '") +
                                     script.seen_root() + "': " + (error ? error.message() : "is not a directory") +
                                     "; the directory of the scripts must be there, and readable. If the FastCGI "
                                     "server sees it elsewhere (in a container, a chroot), --local-root says where it "
                                     "is for this command, and --no-local-root that it cannot be seen from here");
}

bridge::BridgeOptions bridge_options(const Options& options) {
  if (options.http.empty() == options.fastcgi.empty())
    throw CommandError(kExitUsage, "web serve needs one of --http and --fastcgi");
  bridge::BridgeOptions given;
  given.protocol = options.http.empty() ? bridge::Protocol::fastcgi : bridge::Protocol::http;
  const std::string& address = options.http.empty() ? options.fastcgi : options.http;
  for (unsigned i = 0; i < options.processes; ++i) {
    given.addresses.push_back(bridge::numbered(address, i));
    bridge::parse_address(given.addresses.back());  // what is none is wrong usage
  }
  given.at_once = options.at_once;
  if (given.at_once == 0) given.at_once = given.protocol == bridge::Protocol::http ? kHttpAtOnce : kFastCgiAtOnce;
  given.max_queue = options.queue;
  given.connect_time = options.connect;
  given.silence_time = options.silence;
  given.queue_time = options.wait;
  given.keep_time = options.keep;
  given.head.bytes = options.max_head;
  given.script = options.script;
  given.health = options.health;
  given.health.interval = options.health_interval;
  given.health.timeout = options.health_timeout;
  const auto is_printable = [](char c) { return c > ' ' && c < '\x7f'; };
  if (const std::string& path = given.health.path;
      !path.empty() && (path[0] != '/' || !std::all_of(path.begin(), path.end(), is_printable)))
    throw CommandError(kExitUsage, "--health '" + path + "': it begins with '/' and has no spaces");
  given.spool = options.spool;
  given.errors = options.errors;
  given.managed = !options.start.empty();
  trim(given.script.root);
  trim(given.script.local_root);
  if (given.protocol == bridge::Protocol::fastcgi) {
    check_root(given.script);
    bridge::check_script_options(given.script);
  }
  return given;
}

/// What the application is started by; wrong usage is said before anything is started.
std::optional<bridge::ProcessOptions> process_options(const Options& options) {
  if (options.start.empty()) return std::nullopt;
  bridge::ProcessOptions given;
  const auto has = [&](const char* place) { return options.start.find(place) != std::string::npos; };
  if (options.processes > 1 && !has("{n}") && !has("{port}") && !has("{socket}") && !has("{address}")) {
    throw std::runtime_error(
        "--processes " + std::to_string(options.processes) +
        ": the command of --start is the same for each of them; write {address}, {port}, {socket} or {n} where "
        "its address belongs");
  }
  given.command = bridge::split_command(options.start);
  bridge::check_command(given.command);
  given.start_time = options.start_time;
  given.end_time = options.end_time;
  given.rest_time = options.drain;
  return given;
}

/// Wrong usage that the bridge finds: addresses and commands that are none.
template <class Make>
auto checked(Make&& make) {
  try {
    return make();
  } catch (const std::runtime_error& error) {
    throw CommandError(kExitUsage, "web serve: " + std::string(error.what()));
  }
}

web::ServerOptions server_options(const Options& options, WebLog& log, const bridge::Bridge& bridge) {
  const auto ms = [](microseconds time) { return std::chrono::ceil<std::chrono::milliseconds>(time); };
  web::ServerOptions given;
  given.max_connections = given.max_requests = options.connections;
  given.max_head = options.max_head;
  given.max_unfinished_heads = options.unfinished_heads;
  given.max_unfinished_heads_per_process = options.process_heads;
  if (options.max_body != 0) given.max_body = options.max_body;
  given.drain_time = ms(options.drain);
  given.credit = [&bridge] { return bridge.credit(); };
  given.on_finished = [&log](const web::Finished& request) { log.finished(request); };
  return given;
}

int exit_code_of(const Error& error) {
  return cli::exit_code_of(static_cast<int>(error.status));
}

int run(const Options& options) {
  ::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  WebLog log(options.common.json, options.quiet);
  bridge::Loop loop;
  Signals signals(loop);
  std::optional<bridge::ProcessOptions> start = checked([&] { return process_options(options); });
  bridge::Bridge made(loop, checked([&] { return bridge_options(options); }),
                      [&log](const std::string& text) { log.note("trouble", text); });
  std::optional<bridge::ProcessManager> processes;
  if (start) processes.emplace(made, *std::move(start));
  ContextOptions context;
  context.socket = socket_path(options.common);
  context.name = "slotwire-web";
  Result<web::Server> server = web::Server::open(
      context, options.service, [&made](const web::ExchangePtr& exchange) { made.take(exchange); },
      server_options(options, log, made));
  if (!server)
    throw CommandError(exit_code_of(server.error()), "cannot serve '" + options.service + "': " + server.error().text);
  log.set_node(std::string(server->context().node()));
  made.on_ready_changed = [&](bool ready) { (void)server->context().set_ready(ready); };
  made.start_health_checks();
  if (processes) processes->start();

  bool stopped = false;
  bool processes_ended = !processes;
  signals.on_stop = [&] {
    if (!std::exchange(stopped, true)) {
      log.note("draining", "draining: no new requests; again SIGTERM ends at once");
      server->stop();
    } else {
      server->kill();
    }
  };
  signals.on_hangup = [&] {
    if (processes && !stopped) {
      processes->restart_in_turn();
    } else {
      log.note("trouble", "SIGHUP starts processes anew; there are none of this command's (--start)");
    }
  };
  log.note("ready", "requests for service '" + options.service + "' go to " + made.address(0).text +
                        (made.applications() > 1 ? " and " + std::to_string(made.applications() - 1) + " more" : ""));
  bool ending = false;
  const Result<void> ended = loop.run(*server, [&] {
    if (!server->is_over()) return false;
    // The processes end when no request is left.
    if (!std::exchange(ending, true) && processes) processes->end([&] { processes_ended = true; });
    return processes_ended;
  });
  log.sums(server->heads_given_up());
  if (!ended) throw CommandError(exit_code_of(ended.error()), "cannot wait for requests: " + ended.error().text);
  return kExitOk;
}

constexpr const char* kFooter =
    R"(Web servers reach the service through slots: HTTP/1.1 over the byte stream of a connection (docs/http-over-slots.md).
Bodies are not held: a client that does not read stops the application, and the reverse. A client that leaves
closes the application's connection. An application that fails --health gets requests only when all do; then slotwired
gives new connections to other processes of the service. Requests beyond --at-once wait, at most --max-queue of them; more are
answered with 503 and Slotwire-Unprocessed, so that a web server can ask another one.

SIGTERM: no new requests, those under way are finished, then the processes end. SIGHUP: the processes of --start
are ended and started anew, one after the other, without a failed request.

In --start, {n} is replaced by the number of the process, {port} by its port, {socket} by the path of its socket.

Examples: slotwire web serve shop --http 127.0.0.1:8000
          slotwire web serve shop --http unix:/run/shop-{n}.sock --processes 4 --start 'gunicorn --bind unix:{socket} shop:app'
          slotwire web serve wiki --fastcgi /run/php/php8.2-fpm.sock --root /srv/wiki)";

const CLI::Validator root_based(
    [](const std::string& text) {
      return text.starts_with('/') ? ""
                                   : "'" + text + "' must begin with a slash, which stands for --root: '/" + text + "'";
    },
    "");

const CLI::Validator filled([](const std::string& text) { return text.empty() ? "must not be empty" : ""; }, "");

void add_spool_options(CLI::App& sub, web::bridge::SpoolOptions& spool, CLI::Option& fastcgi) {
  sub.add_option("--spool-dir", spool.directory,
                 "FastCGI: directory of a file system that has room for requests in chunks, which are kept until they "
                 "are complete")
      ->type_name("DIR")
      ->capture_default_str()
      ->check(CLI::ExistingDirectory)
      ->needs(&fastcgi);
  add_size(sub, "--max-spool", spool.max_body, 1, std::uint64_t{1} << 50U,
           "FastCGI: of a request in chunks (default 64MiB)")
      ->needs(&fastcgi);
  add_size(sub, "--max-spool-total", spool.max_total, 1, std::uint64_t{1} << 50U,
           "FastCGI: of all requests in chunks at one time (default 1GiB)")
      ->needs(&fastcgi);
}

void add_script_options(CLI::App& sub, web::bridge::ScriptOptions& script, CLI::Option& fastcgi) {
  sub.add_option("--root", script.root, "FastCGI: the directory of the scripts, as the FastCGI server sees it")
      ->type_name("DIR")
      ->needs(&fastcgi);
  CLI::Option* const local =
      sub.add_option("--local-root", script.local_root,
                     "FastCGI: the same directory as this command sees it (default: --root), for a server in a "
                     "container or a chroot")
          ->type_name("DIR")
          ->check(filled)
          ->needs(&fastcgi);
  sub.add_flag_callback(
         "--no-local-root", [&script] { script.sees_root = false; },
         "FastCGI: this command does not see --root: names alone decide what is a script, and the server must refuse "
         "what is none")
      ->needs(&fastcgi)
      ->excludes(local);
  sub.add_option("--index", script.index, "FastCGI: the script for a path that ends with a slash")
      ->capture_default_str()
      ->needs(&fastcgi);
  sub.add_option("--suffix", script.suffix, "FastCGI: how names of scripts end")
      ->capture_default_str()
      ->needs(&fastcgi);
  CLI::Option* const front =
      sub.add_option("--front", script.front, "FastCGI: /SCRIPT that answers paths which name none (default: 404)")
          ->check(root_based)
          ->needs(&fastcgi);
  sub.add_option("--script", script.only, "FastCGI: /SCRIPT that answers every path, whatever it names")
      ->check(root_based)
      ->needs(&fastcgi)
      ->excludes(front);
  const auto add_field = [&](const char* name, std::string& field, const char* text) {
    sub.add_option(name, field, text)->type_name("FIELD")->check(filled)->needs(&fastcgi);
  };
  add_field("--remote-address", script.remote_address_field,
            "FastCGI: the field whose value is REMOTE_ADDR; the web server must set it, as all of these (X-Real-IP)");
  add_field("--remote-port", script.remote_port_field, "FastCGI: the same of REMOTE_PORT (X-Real-Port)");
  add_field("--remote-user", script.remote_user_field, "FastCGI: the same of REMOTE_USER (X-Remote-User)");
  add_field("--server-address", script.server_address_field, "FastCGI: the same of SERVER_ADDR (X-Server-Address)");
  add_field("--server-port", script.server_port_field,
            "FastCGI: the same of SERVER_PORT, which is else that of Host (X-Forwarded-Port)");
  add_field("--scheme", script.https_field,
            "FastCGI: the field that says 'https'; the web server must set it (X-Forwarded-Proto)");
}

/// An option that has an effect only beside another one is refused without it.
void add_serve_options(CLI::App& sub, Options& options) {
  sub.add_option("SERVICE", options.service, "the service")->required()->check(service_name());
  auto* http = sub.add_option("--http", options.http, "HOST:PORT or unix:PATH of an application that speaks HTTP/1.1");
  auto* fastcgi =
      sub.add_option("--fastcgi", options.fastcgi, "PATH or HOST:PORT of a FastCGI server, such as PHP-FPM");
  fastcgi->excludes(http);
  auto* start = sub.add_option("--start", options.start,
                               "start the application by this command (no shell), and again when it ends")
                    ->type_name("CMD")
                    ->check(filled);
  sub.add_option("--processes", options.processes, "processes of --start, each at an address of its own")
      ->capture_default_str()
      ->check(CLI::Range(1U, 256U))
      ->needs(start);
  sub.add_option("--at-once", options.at_once,
                 "requests that one process has at one time (default: 128; FastCGI: 5, the children of PHP-FPM)")
      ->check(CLI::Range(std::size_t{1}, std::size_t{65536}));
  sub.add_option("-n,--max-connections", options.connections, "connections of web servers at one time; more wait")
      ->capture_default_str()
      ->check(CLI::Range(std::size_t{1}, std::size_t{4096}));
  sub.add_option("--max-queue", options.queue, "requests that wait for the application")
      ->capture_default_str()
      ->check(CLI::Range(std::size_t{0}, std::size_t{65536}));
  add_size(sub, "--max-body", options.max_body, 1, std::uint64_t{1} << 50U, "of a request (default: no limit)");
  add_size(sub, "--max-head", options.max_head, 1024, std::uint64_t{1} << 20U,
           "of a request or a response (default 64KiB)");
  sub.add_option("--max-unfinished-heads", options.unfinished_heads,
                 "connections of one user whose head has begun and not ended; the oldest is ended for one more")
      ->capture_default_str()
      ->check(CLI::Range(std::size_t{1}, std::size_t{4096}));
  sub.add_option("--max-unfinished-heads-per-process", options.process_heads, "the same of one process of that user")
      ->capture_default_str()
      ->check(CLI::Range(std::size_t{1}, std::size_t{4096}));
  add_duration(sub, "--timeout", options.silence, microseconds(1000), microseconds(86'400'000'000),
               "for an application that neither takes nor sends a byte (default 60s)");
  add_duration(sub, "--connect-timeout", options.connect, microseconds(1000), microseconds(3'600'000'000),
               "for an application to accept a connection (default 5s)");
  add_duration(sub, "--queue-timeout", options.wait, microseconds(1000), microseconds(3'600'000'000),
               "for a request to wait for the application (default 30s)");
  add_duration(sub, "--keep-time", options.keep, microseconds(0), microseconds(3'600'000'000),
               "of a connection to an application that is not used (default 4s)");
  auto* health = sub.add_option("--health", options.health.path, "ask the application for PATH, whether it is well")
                     ->type_name("PATH");
  sub.add_option("--health-status", options.health.status, "the status that is expected of it")
      ->capture_default_str()
      ->check(CLI::Range(200U, 599U))
      ->needs(health);
  add_duration(sub, "--health-interval", options.health_interval, microseconds(10'000), microseconds(3'600'000'000),
               "between two questions (default 5s)")
      ->needs(health);
  add_duration(sub, "--health-timeout", options.health_timeout, microseconds(1000), microseconds(3'600'000'000),
               "for an answer (default 2s)")
      ->needs(health);
  sub.add_option("--health-fall", options.health.fall, "bad answers in a row after which it counts as failing")
      ->capture_default_str()
      ->check(CLI::Range(1U, 100U))
      ->needs(health);
  sub.add_option("--health-rise", options.health.rise, "good answers in a row after which it counts as well again")
      ->capture_default_str()
      ->check(CLI::Range(1U, 100U))
      ->needs(health);
  add_duration(
      sub, "--drain-time", options.drain, microseconds(0), microseconds(86'400'000'000),
      "from SIGTERM, or from SIGHUP for a process, to the end of requests that are not finished (default 30s)");
  add_duration(sub, "--start-time", options.start_time, microseconds(1000), microseconds(3'600'000'000),
               "for a process to accept connections (default 30s)")
      ->needs(start);
  add_duration(sub, "--end-time", options.end_time, microseconds(0), microseconds(3'600'000'000),
               "for a process to end, from SIGTERM to SIGKILL (default 10s)")
      ->needs(start);
  add_spool_options(sub, options.spool, *fastcgi);
  sub.add_option("--error-lines", options.errors.lines,
                 "lines a second that applications print and the log takes; more are counted")
      ->capture_default_str()
      ->check(CLI::Range(std::size_t{0}, std::size_t{100'000}));
  add_size(sub, "--error-bytes", options.errors.bytes, 0, std::uint64_t{1} << 30U,
           "the same of bytes a second (default 64KiB)");
  add_size(sub, "--error-line-bytes", options.errors.line_bytes, 16, std::uint64_t{64} << 10U,
           "of one such line that are logged (default 2KiB)");
  add_script_options(sub, options.script, *fastcgi);
}

}  // namespace

void add_web(CLI::App& app, Command& command) {
  CLI::App* web = app.add_subcommand("web", "Answer HTTP requests of web servers by applications");
  web->require_subcommand(1);
  web->footer(kFooter);
  auto options = std::make_shared<Options>();
  CLI::App* sub = web->add_subcommand("serve", "Serve a service by an application that speaks HTTP or FastCGI");
  add_serve_options(*sub, *options);
  sub->add_flag("-q,--quiet", options->quiet, "no line for each request");
  add_common(*sub, options->common, "print the access log as one JSON object a line on standard output");
  sub->footer(kFooter);
  sub->callback([options, &command] { command = [options] { return run(*options); }; });
}

}  // namespace slotwire::cli
