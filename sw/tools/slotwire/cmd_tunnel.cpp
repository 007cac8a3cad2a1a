// slotwire tunnel: TCP through slots.
#include <CLI/CLI.hpp>

#include "tools/slotwire/tunnel/tunnel.hpp"

namespace slotwire::cli {
namespace {

using std::chrono::microseconds;

void add_options(CLI::App& sub, TunnelOptions& options) {
  sub.add_option("-n,--max-connections", options.connections, "connections at one time; further ones wait")
      ->capture_default_str()
      ->check(CLI::Range(std::size_t{1}, std::size_t{4096}));
  add_duration(sub, "--connect-timeout", options.connect_timeout, microseconds(1000), microseconds(3'600'000'000),
               "for the other end to be reached (default 5s)");
  sub.add_flag("-q,--quiet", options.quiet, "no line for each connection");
  add_common(sub, options.common, "print the access log as one JSON object a line on standard output");
}

constexpr const char* kTunnelFooter =
    R"(Each TCP connection is one slot connection: a byte stream both ways, each direction ended by itself. Bytes wait in
the two rings of the slot and in the kernel's socket buffers only, so a slow reader slows its writer down and
nothing else. An end that breaks off makes the other end a connection reset; the access log (standard error) says
why. Connections survive a restart of slotwired. A tunnel serve's end may also be any program that reads and
writes byte streams (sw_read, sw_write).

Example, on the node 'right' and on any other:
  slotwire tunnel serve web 127.0.0.1:80
  slotwire tunnel listen 127.0.0.1:8080 web
  curl http://127.0.0.1:8080/)";

}  // namespace

void add_tunnel(CLI::App& app, Command& command) {
  CLI::App* tunnel = app.add_subcommand("tunnel", "Carry TCP connections through slots");
  tunnel->require_subcommand(1);
  tunnel->footer(kTunnelFooter);

  auto listen_options = std::make_shared<TunnelOptions>();
  CLI::App* listen = tunnel->add_subcommand("listen", "Listen for TCP connections and carry each to a service");
  listen->add_option("ADDRESS", listen_options->address, "HOST:PORT to listen on; port 0 takes a free one")->required();
  listen->add_option("SERVICE", listen_options->service, "the service")->required()->check(service_name());
  add_size(*listen, "--ring", listen_options->ring, 4096, std::uint64_t{2} << 20,
           "size of each of a connection's two rings (default: the node's memory.ring)");
  add_options(*listen, *listen_options);
  listen->footer(kTunnelFooter);
  listen->callback(
      [listen_options, &command] { command = [listen_options] { return run_tunnel_listen(*listen_options); }; });

  auto serve_options = std::make_shared<TunnelOptions>();
  CLI::App* serve = tunnel->add_subcommand("serve", "Serve a service by TCP connections to a target");
  serve->add_option("SERVICE", serve_options->service, "the service")->required()->check(service_name());
  serve->add_option("TARGET", serve_options->address, "HOST:PORT of the target; a name is looked up once, at the start")
      ->required();
  add_options(*serve, *serve_options);
  serve->footer(kTunnelFooter);
  serve->callback(
      [serve_options, &command] { command = [serve_options] { return run_tunnel_serve(*serve_options); }; });
}

}  // namespace slotwire::cli
