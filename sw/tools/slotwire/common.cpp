#include "tools/slotwire/common.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <system_error>

#include "core/slot/open_files.hpp"
#include "runtime/control/tool_client.hpp"

namespace slotwire::cli {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};
constexpr std::array<Unit, 6> kTimeUnits{
    {{"", 1'000'000}, {"us", 1}, {"ms", 1000}, {"s", 1'000'000}, {"min", 60'000'000}, {"h", 3'600'000'000}}};
constexpr std::array<Unit, 8> kSizeUnits{{{"", 1},
                                          {"B", 1},
                                          {"K", 1024},
                                          {"KiB", 1024},
                                          {"M", 1 << 20},
                                          {"MiB", 1 << 20},
                                          {"G", 1 << 30},
                                          {"GiB", 1 << 30}}};

/// "250ms" in the smallest unit of `units`; throws CLI::ValidationError.
template <std::size_t N>
std::uint64_t parse_with_unit(const std::string& name, const std::string& text, const std::array<Unit, N>& units) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc{} && number >= 0) {
    const std::string_view rest(end, static_cast<std::size_t>(text.data() + text.size() - end));
    for (const Unit& unit : units) {
      if (unit.name == rest) return static_cast<std::uint64_t>(number * static_cast<double>(unit.factor));
    }
  }
  std::string known;
  for (const Unit& unit : units) known += unit.name.empty() ? "" : (known.empty() ? "" : ", ") + std::string(unit.name);
  throw CLI::ValidationError(name, "'" + text + "' is not a number with a unit (" + known + ")");
}

// What the signal handler reaches.
std::atomic<bool> signal_came{false};
std::atomic<int> stop_event{-1};
std::atomic<sw_connection*> interrupted_connection{nullptr};
struct sigaction old_interrupt, old_terminate;

void on_signal(int) {
  const int saved = errno;
  signal_came = true;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(stop_event.load(), &one, sizeof one);
  sw_interrupt(interrupted_connection.load());
  errno = saved;
}

/// Why standard output could not be written; 0: it could. The first error is the one that is said.
int output_error = 0;

bool flushed() {
  const bool good = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  if (!good && output_error == 0) output_error = errno == 0 ? EIO : errno;
  return good;
}

std::string output_trouble() {
  return "the output cannot be written: " + std::generic_category().message(output_error);
}

}  // namespace

void flush_output() {
  if (!flushed()) throw CommandError(kExitFailed, output_trouble());
}

void flush_log() {
  const bool said = output_error != 0;
  if (flushed() || said) return;
  std::fprintf(stderr, "slotwire: %s; what it serves goes on\n", output_trouble().c_str());
}

int finish_output(int code) {
  // CLI11 prints help and version by the stream.
  std::cout.flush();
  if (!std::cout && output_error == 0) output_error = errno == 0 ? EIO : errno;
  flushed();
  if (output_error == 0) return code;
  if (code == kExitOk) std::fprintf(stderr, "slotwire: %s\n", output_trouble().c_str());
  return code == kExitOk ? kExitFailed : code;
}

void add_common(CLI::App& sub, Common& common, const std::string& json_text) {
  sub.add_option("--socket", common.socket,
                 "control socket of slotwired (default: $SLOTWIRE_SOCKET, else /run/slotwire/slotwire.sock)")
      ->type_name("PATH");
  sub.add_flag("--json", common.json, json_text);
}

CLI::Option* add_duration(CLI::App& sub, const std::string& name, std::chrono::microseconds& value,
                          std::chrono::microseconds least, std::chrono::microseconds most, const std::string& text) {
  return sub
      .add_option_function<std::string>(
          name,
          [&value, name, least, most](const std::string& given) {
            const std::chrono::microseconds parsed(parse_with_unit(name, given, kTimeUnits));
            if (parsed < least || parsed > most) {
              throw CLI::ValidationError(name, "'" + given + "' is out of its range (" + std::to_string(least.count()) +
                                                   " us to " + std::to_string(most.count()) + " us)");
            }
            value = parsed;
          },
          text)
      ->type_name("TIME");
}

CLI::Option* add_size(CLI::App& sub, const std::string& name, std::uint64_t& value, std::uint64_t least,
                      std::uint64_t most, const std::string& text) {
  return sub
      .add_option_function<std::string>(
          name,
          [&value, name, least, most](const std::string& given) {
            const std::uint64_t parsed = parse_with_unit(name, given, kSizeUnits);
            if (parsed < least || parsed > most) {
              throw CLI::ValidationError(name, "'" + given + "' is out of its range (" + std::to_string(least) +
                                                   " to " + std::to_string(most) + " bytes)");
            }
            value = parsed;
          },
          text)
      ->type_name("SIZE");
}

const CLI::Validator& service_name() {
  static const CLI::Validator validator(
      [](const std::string& text) {
        constexpr std::size_t kLongest = 63;
        const bool good =
            !text.empty() && text.size() <= kLongest &&
            text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-") ==
                std::string::npos;
        return good ? std::string()
                    : "'" + text + "' cannot be the name of a service: it has 1 to 63 of A-Z, a-z, 0-9 and ._/-";
      },
      "");
  return validator;
}

std::string socket_path(const Common& common) {
  return common.socket.empty() ? control::default_socket_path() : common.socket;
}

int exit_code_of(int status) {
  switch (status) {
    case SW_OK:
      return kExitOk;
    case SW_NO_SERVICE:
      return kExitNoService;
    case SW_LINK_DOWN:
      return kExitLinkDown;
    case SW_REFUSED:
      return kExitRefused;
    case SW_ENGINE_GONE:
      return kExitEngineGone;
    default:
      return kExitFailed;
  }
}

void fail(int status, const std::string& doing) {
  const std::string said = sw_last_error();
  std::string text = doing + ": " + sw_status_name(status);
  if (!said.empty()) text += ": " + said;
  switch (status) {
    case SW_NO_SERVICE:
      text += " (look at 'slotwire status' on the node that should serve it)";
      break;
    case SW_LINK_DOWN:
      text += " (look at the links in 'slotwire status')";
      break;
    default:
      break;
  }
  throw CommandError(exit_code_of(status), text);
}

void check(int status, const std::string& doing) {
  if (status != SW_OK) fail(status, doing);
}

ContextPtr open_context(const Common& common, const std::string& name) {
  sw_options options;
  SW_INIT(options);
  const std::string path = socket_path(common);
  options.socket = path.c_str();
  options.name = name.c_str();
  sw_context* context = nullptr;
  check(sw_open(&options, &context), "cannot open a session");
  return ContextPtr(context);
}

sw_service* serve(sw_context& context, const std::string& name) {
  sw_service* service = nullptr;
  check(sw_serve(&context, name.c_str(), nullptr, &service), "cannot serve '" + name + "'");
  return service;
}

ConnectionPtr connect(sw_context& context, const std::string& service, std::chrono::microseconds timeout) {
  sw_connection* connection = nullptr;
  check(sw_connect(&context, service.c_str(), nullptr, to_ms(timeout), &connection),
        "cannot connect to '" + service + "'");
  return ConnectionPtr(connection);
}

PollerPtr create_poller(sw_context& context) {
  sw_poller* poller = nullptr;
  check(sw_poller_create(&context, &poller), "cannot create a poller");
  return PollerPtr(poller);
}

sw_timeout_ms to_ms(std::chrono::microseconds time) {
  return (time.count() + 999) / 1000;
}

StopSignal::StopSignal() {
  signal_came = false;
  stop_event = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (stop_event < 0) throw std::system_error(errno, std::generic_category(), "cannot create an eventfd");
  struct sigaction action {};
  action.sa_handler = on_signal;
  ::sigaction(SIGINT, &action, &old_interrupt);
  ::sigaction(SIGTERM, &action, &old_terminate);
}

StopSignal::~StopSignal() {
  ::sigaction(SIGINT, &old_interrupt, nullptr);
  ::sigaction(SIGTERM, &old_terminate, nullptr);
  interrupted_connection = nullptr;
  ::close(stop_event.exchange(-1));
}

bool StopSignal::stopped() const {
  return signal_came;
}
int StopSignal::fd() const {
  return stop_event;
}
void StopSignal::interrupts(sw_connection* connection) {
  interrupted_connection = connection;
}

bool StopSignal::wait(std::chrono::microseconds time) const {
  const auto end = std::chrono::steady_clock::now() + time;
  while (!stopped()) {
    const auto left =
        std::chrono::duration_cast<std::chrono::nanoseconds>(end - std::chrono::steady_clock::now()).count();
    if (left <= 0) return false;
    const timespec limit{left / 1'000'000'000, left % 1'000'000'000};
    pollfd wait{fd(), POLLIN, 0};
    ::ppoll(&wait, 1, &limit, nullptr);
  }
  return true;
}

void raise_descriptor_limit() {
  slot::raise_open_files_limit();
}

}  // namespace slotwire::cli
