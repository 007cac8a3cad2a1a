// slotwire serve: answers requests by echoing them or by running a program.
#include <sys/epoll.h>
#include <CLI/CLI.hpp>

#include <array>
#include <csignal>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "core/slot/waiter.hpp"
#include "tools/slotwire/common.hpp"
#include "tools/slotwire/run_program.hpp"

namespace slotwire::cli {
namespace {

using Json = nlohmann::json;
using std::chrono::microseconds;

/// Error codes that serve answers with, beside the exit status of the program (1 to 255).
constexpr std::uint16_t kCodeTooSlow = 408;
constexpr std::uint16_t kCodeTooMuch = 413;
constexpr std::uint16_t kCodeCannotRun = 500;

struct Options {
  Common common;
  std::string service;
  bool echo = false;
  std::string exec;
  std::uint64_t count = 0;
  bool quiet = false;
  microseconds limit{60'000'000};
  std::uint64_t most_output = std::uint64_t{64} << 20;
  microseconds answer_timeout{30'000'000};
};

class Server {
 public:
  explicit Server(const Options& options)
      : options_(options),
        context_(open_context(options.common, "slotwire-serve")),
        service_(serve(*context_, options.service)),
        poller_(create_poller(*context_)),
        epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    watch(sw_poller_fd(poller_.get()));
    watch(stop_.fd());
  }

  int run() {
    if (!options_.quiet && !options_.common.json) {
      std::fprintf(stderr, "serving '%s' on node '%s'; Ctrl-C ends it\n", options_.service.c_str(),
                   sw_context_node(context_.get()));
    }
    while (!stop_.stopped() && !done()) {
      std::array<sw_ready, 64> ready;
      std::size_t count = 0;
      const int status = sw_poller_wait(poller_.get(), ready.data(), ready.size(), 0, &count);
      if (status != SW_OK && status != SW_AGAIN) fail(status, "cannot wait for requests");
      if (status == SW_OK && count == 0) accept_all();
      for (std::size_t i = 0; i < count && !done(); ++i) drive(*static_cast<sw_connection*>(ready[i].token));
      if (status != SW_AGAIN || wait_actively()) continue;
      if (sw_poller_arm(poller_.get()) != SW_OK) continue;
      std::array<epoll_event, 2> events;
      ::epoll_wait(epoll_.get(), events.data(), events.size(), -1);
      waiter_.reset();
    }
    report();
    return kExitOk;
  }

 private:
  bool done() const { return options_.count != 0 && answered_ >= options_.count; }

  bool wait_actively() { return waiter_.next() == slot::Waiter::Step::again; }

  void watch(int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
  }

  void accept_all() {
    sw_connection* raw = nullptr;
    while (sw_accept(service_, 0, &raw) == SW_OK) {
      ConnectionPtr connection(raw);
      check(sw_poller_add(poller_.get(), raw, SW_READABLE, raw), "cannot watch a connection");
      connections_.emplace(raw, std::move(connection));
    }
  }

  void drive(sw_connection& connection) {
    waiter_.reset();
    // A few requests at a time, so that one client cannot keep the others waiting.
    constexpr int kAtOnce = 32;
    for (int i = 0; i < kAtOnce && !done(); ++i) {
      sw_message message;
      SW_INIT(message);
      const int status = sw_receive(&connection, 0, &message);
      if (status == SW_AGAIN) return;
      if (status != SW_OK) return drop(connection, status);
      int sent = SW_OK;
      if (message.kind == SW_REQUEST) sent = answer(connection, message);
      sw_release(&connection, &message);
      if (sent != SW_OK) return drop(connection, sent);
    }
  }

  void drop(sw_connection& connection, int status) {
    if (status != SW_PEER_CLOSED && !options_.quiet)
      std::fprintf(stderr, "slotwire: a client is gone: %s\n", sw_last_error());
    connections_.erase(&connection);
  }

  int answer(sw_connection& connection, const sw_message& request) {
    const auto start = std::chrono::steady_clock::now();
    int status = SW_OK;
    std::size_t bytes = request.length;
    std::string wrong;
    if (options_.echo) {
      status = sw_reply(&connection, request.id, request.data, request.length, to_ms(options_.answer_timeout));
    } else {
      const ProgramResult result = execute(connection, request, wrong);
      bytes = result.output.size();
      if (wrong.empty()) {
        status = sw_reply(&connection, request.id, result.output.data(), bytes, to_ms(options_.answer_timeout));
      } else {
        const std::uint16_t code = result.too_slow      ? kCodeTooSlow
                                   : result.too_much    ? kCodeTooMuch
                                   : result.status != 0 ? static_cast<std::uint16_t>(result.status)
                                                        : kCodeCannotRun;
        status = sw_reply_error(&connection, request.id, code, wrong.c_str(), to_ms(options_.answer_timeout));
      }
    }
    ++answered_;
    if (!wrong.empty()) ++failed_;
    if (options_.quiet || (options_.echo && !options_.common.json)) return status;
    const auto us = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
    if (options_.common.json) {
      Json line{{"method", request.code},
                {"bytes_in", request.length},
                {"bytes_out", bytes},
                {"us", us},
                {"ok", wrong.empty()}};
      if (!wrong.empty()) line["error"] = wrong;
      std::printf("%s\n", line.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
    } else {
      std::printf("request of %llu bytes, method %u: %s, %.1f ms\n", static_cast<unsigned long long>(request.length),
                  request.code, wrong.empty() ? (std::to_string(bytes) + " bytes").c_str() : wrong.c_str(), us / 1000);
    }
    std::fflush(stdout);
    return status;
  }

  ProgramResult execute(sw_connection& connection, const sw_message& request, std::string& wrong) {
    const microseconds limit =
        request.deadline_us < 0 ? options_.limit : std::min(options_.limit, microseconds(request.deadline_us));
    ProgramResult result;
    try {
      const std::span<const std::byte> body(static_cast<const std::byte*>(request.data), request.length);
      result = run_program(options_.exec, body, limit, options_.most_output,
                           [&] { return !stop_.stopped() && sw_is_cancelled(&connection, request.id) == 0; });
    } catch (const std::system_error& error) {
      wrong = error.what();
      return result;
    }
    if (result.too_slow) {
      wrong = "the program was stopped: its time was over, or nobody waits for the answer";
    } else if (result.too_much) {
      wrong = "the program wrote more than --max-output allows";
    } else if (result.status != 0) {
      wrong = "the program ended with status " + std::to_string(result.status);
    }
    return result;
  }

  void report() const {
    if (options_.common.json) {
      std::printf("%s\n",
                  Json{{"service", options_.service}, {"answered", answered_}, {"failed", failed_}}.dump().c_str());
    } else if (!options_.quiet) {
      std::fprintf(stderr, "%llu requests answered, %llu of them with an error\n",
                   static_cast<unsigned long long>(answered_), static_cast<unsigned long long>(failed_));
    }
  }

  const Options& options_;
  StopSignal stop_;
  ContextPtr context_;
  sw_service* service_;
  PollerPtr poller_;
  slot::Fd epoll_;
  slot::Waiter waiter_{slot::WaitPolicy{}};
  std::unordered_map<sw_connection*, ConnectionPtr> connections_;
  std::uint64_t answered_ = 0;
  std::uint64_t failed_ = 0;
};

int run(const Options& options) {
  if (options.echo == !options.exec.empty()) throw CommandError(kExitUsage, "serve needs one of --echo and --exec CMD");
  ::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  return Server(options).run();
}

}  // namespace

void add_serve(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* sub = app.add_subcommand("serve", "Answer requests to a service: echo them, or run a program for each");
  sub->add_option("SERVICE", options->service, "the service")->required();
  auto* echo = sub->add_flag("--echo", options->echo, "answer with the request's body");
  sub->add_option("--exec", options->exec,
                  "run this by /bin/sh for each request: body on its standard input, answer from its standard output")
      ->type_name("CMD")
      ->excludes(echo);
  sub->add_option("-n,--count", options->count, "end after so many requests (default: never)");
  add_duration(*sub, "--time-limit", options->limit, microseconds(1000), microseconds(3'600'000'000),
               "a program that takes longer is killed (default 60s); a request's own deadline counts as well");
  add_size(*sub, "--max-output", options->most_output, 1, std::uint64_t{64} << 20,
           "a program that writes more is killed (default 64MiB)");
  sub->add_flag("-q,--quiet", options->quiet, "print nothing but errors that end it");
  add_common(*sub, options->common, "print one JSON object a line for each request, then one with the sums");
  sub->footer(
      R"(Requests are handled one after the other; start several to handle more at a time: connections take turns among
them. A program that exits with a status other than 0 makes the answer an error with that code; one that was
stopped makes it 408 (too slow, or the caller gave up) or 413 (too much output). Its standard error is this
command's. Connections survive a restart of slotwired.

Examples: slotwire serve echo --echo
          slotwire serve upper --exec 'tr a-z A-Z')");
  sub->callback([options, &command] { command = [options] { return run(*options); }; });
}

}  // namespace slotwire::cli
