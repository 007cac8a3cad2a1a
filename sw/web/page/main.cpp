// slotwire-page: a page to look at a node with, and metrics for Prometheus. A process of its own, of a user that may do
// nothing else: it asks slotwired over the control socket as anybody may.
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <cstdio>
#include <fstream>

#include "core/slot/open_files.hpp"
#include "runtime/control/printable.hpp"
#include "runtime/control/program_end.hpp"
#include "runtime/sandbox/sandbox.hpp"
#include "web/page/site.hpp"

namespace {

using namespace slotwire;
using boost::asio::ip::tcp;

struct Options {
  std::string socket, listen = "127.0.0.1:7480", token_file, user;
  web::SiteOptions site;
};

/// What was given is wrong, and nothing was done.
struct WrongUsage : std::runtime_error {
  using std::runtime_error::runtime_error;
};

tcp::endpoint endpoint_of(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  std::string host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(host, error);
  unsigned port = 65536;
  if (colon != std::string::npos && !error) {
    const std::string digits = text.substr(colon + 1);
    if (!digits.empty() && digits.size() <= 5 && digits.find_first_not_of("0123456789") == std::string::npos)
      port = static_cast<unsigned>(std::stoul(digits));
  }
  if (port > 65535)
    throw WrongUsage("--listen '" + text +
                     "': an address and a port are expected, such as 127.0.0.1:7480 or [::1]:7480");
  return {address, static_cast<std::uint16_t>(port)};
}

/// The first line of the file.
std::string read_token(const std::string& path) {
  struct stat about {};
  std::ifstream file(path);
  std::string token;
  if (!file || !std::getline(file, token)) throw WrongUsage("--token-file " + path + ": cannot be read, or is empty");
  if (::stat(path.c_str(), &about) == 0 && (about.st_mode & 0077U) != 0)
    throw WrongUsage("--token-file " + path + ": other users may read it; chmod 600 it");
  if (token.size() < web::Login::kMinToken) {
    throw WrongUsage("--token-file " + path + ": a token has at least " + std::to_string(web::Login::kMinToken) +
                     " characters, for example of 'openssl rand -hex 16'");
  }
  return token;
}

int run(const Options& options) {
  const tcp::endpoint address = endpoint_of(options.listen);
  const bool made = options.token_file.empty();
  const std::string token = made ? web::random_name() : read_token(options.token_file);
  boost::asio::io_context loop(1);
  boost::asio::signal_set signals(loop, SIGINT, SIGTERM);
  signals.async_wait([&](const auto& error, int) {
    if (!error) loop.stop();
  });
  if (!options.user.empty()) sandbox::become(options.user);
  sandbox::gain_nothing();
  sandbox::hide_memory();
  sandbox::refuse(sandbox::refused_calls());
  web::Snapshots snapshots(options.socket.empty() ? control::default_socket_path() : options.socket,
                           std::chrono::milliseconds(500));
  std::optional<web::Site> site;
  try {
    site.emplace(loop, address, options.site, web::Login(token), snapshots);
  } catch (const boost::system::system_error& error) {
    throw std::runtime_error("cannot listen on " + options.listen + " (--listen): " + error.code().message());
  } catch (const std::exception& error) {
    throw std::runtime_error("cannot listen on " + options.listen + " (--listen): " + error.what());
  }
  const tcp::endpoint at = site->address();
  const std::string host = at.address().is_v6() ? "[" + at.address().to_string() + "]" : at.address().to_string();
  const std::string url = "http://" + host + ":" + std::to_string(at.port()) + "/";
  if (!at.address().is_loopback()) {
    std::fprintf(
        stderr,
        "slotwire-page: warning: %s is no loopback address, and the token crosses the network in the clear; put a "
        "server with TLS in front\n",
        host.c_str());
  }
  // The part behind '#' stays in the browser.
  std::printf("The page: %s%s\n", url.c_str(), made ? ("#token=" + token).c_str() : "");
  std::fflush(stdout);
  loop.run();
  return 0;
}

}  // namespace

/// A name alone: a URL or a port would never match what browsers send.
const CLI::Validator host_name(
    [](const std::string& text) {
      const bool name = !text.empty() && text.find_first_of(":/@?# \t") == std::string::npos;
      return name ? std::string() : "'" + text + "' is no host name; give the name alone, such as status.example.org";
    },
    "NAME");

int main(int argc, char** argv) {
  slot::open_standard_descriptors();
  Options options;
  CLI::App app{"Serves a page that shows a Slotwire node, and its metrics for Prometheus."};
  app.set_version_flag("--version", "slotwire-page " SLOTWIRE_VERSION);
  app.add_option("--listen", options.listen, "address and port; port 0: a free one")->capture_default_str();
  app.add_option("--socket", options.socket,
                 "control socket of slotwired (default: $SLOTWIRE_SOCKET, else /run/slotwire/slotwire.sock)");
  app.add_option("--token-file", options.token_file,
                 "file whose first line is the token that a browser or Prometheus must show (default: a new one, "
                 "printed with the page's address)");
  app.add_option("--host", options.site.hosts,
                 "name under which browsers may reach it, beside addresses and localhost; may be given several times")
      ->check(host_name);
  app.add_flag("--open-metrics", options.site.open_metrics, "give /metrics to anybody who can connect");
  app.add_option("--max-connections", options.site.connections, "connections at one time")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  app.add_option("--user", options.user,
                 "user to become when started by root; it must be able to reach the control socket");
  app.footer(
      R"(Paths: / the page, /metrics metrics (Prometheus text 0.0.4, or OpenMetrics if asked for), /api/state what the page shows, as JSON.
A browser logs in with the token; Prometheus sends it as 'Authorization: Bearer TOKEN'.

Example: slotwire-page --socket /run/slotwire/left.sock --token-file /etc/slotwire/page.token)");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return control::end_of_output(app.exit(error) == 0 ? control::kEndDone : control::kEndUsage, "slotwire-page");
  }
  try {
    return run(options);
  } catch (const WrongUsage& error) {
    std::fprintf(stderr, "slotwire-page: %s\n", control::printable(error.what()).c_str());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "slotwire-page: %s\n", control::printable(error.what()).c_str());
    return 1;
  }
}
