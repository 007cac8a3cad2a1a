// slotwire serve: answers requests by echoing them or by running a program.
#include <sys/epoll.h>
#include <CLI/CLI.hpp>

#include <array>
#include <csignal>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>
#include <vector>

#include "core/slot/waiter.hpp"
#include "runtime/control/printable.hpp"
#include "tools/slotwire/common.hpp"
#include "tools/slotwire/count_option.hpp"
#include "tools/slotwire/run_program.hpp"

namespace slotwire::cli {
namespace {

using Json = nlohmann::json;
using std::chrono::microseconds;

/// Error codes that serve answers with, beside the exit status of the program (1 to 255).
constexpr std::uint16_t kCodeTooSlow = 408;
constexpr std::uint16_t kCodeTooMuch = 413;
constexpr std::uint16_t kCodeCannotRun = 500;

struct ServeOptions {
  Common common;
  std::string service;
  bool echo = false;
  std::string exec;
  std::uint64_t count = 0;
  bool quiet = false;
  microseconds limit{60'000'000};
  std::uint64_t most_output = std::uint64_t{64} << 20;
  std::uint64_t most_memory = std::uint64_t{256} << 20;
};

/// How often it is looked for clients that take nothing.
constexpr microseconds kLookEvery{1'000'000};
/// A client that takes nothing of its answer for so long is given up.
constexpr microseconds kPatience{30'000'000};

using Clock = std::chrono::steady_clock;

/// An answer that its client has not taken yet.
struct Answer {
  std::uint32_t id = 0;
  std::uint16_t code = 0;  ///< of an error; 0: none
  std::string body{};
  std::size_t done = 0;
  Clock::time_point moved{};  ///< when the client last took something
};

struct Client {
  explicit Client(sw_connection* raw) : connection(raw) {}
  ConnectionPtr connection;
  std::optional<Answer> waiting;
};

class Server {
 public:
  explicit Server(const ServeOptions& options)
      : options_(options),
        context_(open_serving(options)),
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
      const int look = waiting_ == 0 ? -1 : static_cast<int>(to_ms(kLookEvery));
      ::epoll_wait(epoll_.get(), events.data(), events.size(), look);
      waiter_.reset();
      give_up_late();
    }
    finish_answers();
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

  /// Of the memory that there is, half is for requests that are not complete, half for answers that were not taken.
  static ContextPtr open_serving(const ServeOptions& options) {
    sw_options given;
    SW_INIT(given);
    const std::string path = socket_path(options.common);
    given.socket = path.c_str();
    given.name = "slotwire-serve";
    given.max_unfinished = options.most_memory / 2;
    sw_context* context = nullptr;
    check(sw_open(&given, &context), "cannot open a session");
    return ContextPtr(context);
  }

  void accept_all() {
    sw_connection* raw = nullptr;
    while (sw_accept(service_, 0, &raw) == SW_OK) {
      Client client(raw);
      check(sw_poller_add(poller_.get(), raw, SW_READABLE, raw), "cannot watch a connection");
      clients_.emplace(raw, std::move(client));
    }
  }

  void drive(sw_connection& connection) {
    const auto found = clients_.find(&connection);
    if (found == clients_.end()) return;  // given up since it was found ready
    Client& client = found->second;
    waiter_.reset();
    if (client.waiting) {
      const int sent = go_on(client);
      if (sent == SW_AGAIN) return;
      if (sent != SW_OK) return drop(connection, sent);
    }
    // A few requests at a time, so that one client cannot keep the others waiting.
    constexpr int kAtOnce = 32;
    for (int i = 0; i < kAtOnce && !done() && !client.waiting; ++i) {
      sw_message message;
      SW_INIT(message);
      const int status = sw_receive(&connection, 0, &message);
      if (status == SW_AGAIN) return;
      if (status != SW_OK) return drop(connection, status);
      int sent = SW_OK;
      if (message.kind == SW_REQUEST) sent = answer(client, message);
      sw_release(&connection, &message);
      if (sent != SW_OK && sent != SW_AGAIN) return drop(connection, sent);
    }
  }

  void drop(sw_connection& connection, int status) {
    if (status != SW_PEER_CLOSED && !options_.quiet)
      std::fprintf(stderr, "slotwire: a client is gone: %s\n", control::printable(sw_last_error()).c_str());
    forget(connection);
  }

  void forget(sw_connection& connection) {
    const auto found = clients_.find(&connection);
    if (found == clients_.end()) return;
    if (found->second.waiting) take_back(*found->second.waiting);
    clients_.erase(found);
  }

  // ---- answers ----

  /// Sends an answer, or keeps it until its client takes it; no other client waits for that.
  int send(Client& client, Answer answer) {
    const int sent = send_now(*client.connection, answer);
    return sent == SW_AGAIN ? keep(client, std::move(answer)) : sent;
  }

  int keep(Client& client, Answer answer) {
    answer.moved = Clock::now();
    ++waiting_;
    waiting_bytes_ += answer.body.size();
    client.waiting = std::move(answer);
    sw_poller_set(poller_.get(), client.connection.get(), SW_WRITABLE);  // its further requests stay in its ring
    make_room(client);
    return client.waiting ? SW_AGAIN : SW_OK;
  }

  static int send_now(sw_connection& connection, Answer& answer) {
    if (answer.code != 0) return sw_reply_error(&connection, answer.id, answer.code, answer.body.c_str(), 0);
    return sw_reply_some(&connection, answer.id, answer.body.data(), answer.body.size(), &answer.done);
  }

  int go_on(Client& client) {
    Answer& answer = *client.waiting;
    const std::size_t before = answer.done;
    const int sent = send_now(*client.connection, answer);
    if (answer.done != before) answer.moved = Clock::now();
    if (sent != SW_OK) return sent;
    take_back(answer);
    client.waiting.reset();
    sw_poller_set(poller_.get(), client.connection.get(), SW_READABLE);
    return SW_OK;
  }

  void take_back(const Answer& answer) {
    --waiting_;
    waiting_bytes_ -= answer.body.size();
  }

  /// Gives up the clients that have taken nothing for longest until the answers that wait are within their limit.
  void make_room(const Client& newest) {
    while (waiting_bytes_ > options_.most_memory / 2) {
      sw_connection* slowest = nullptr;
      for (auto& [connection, client] : clients_) {
        if (!client.waiting || (&client == &newest && waiting_ > 1)) continue;
        if (slowest == nullptr || client.waiting->moved < clients_.at(slowest).waiting->moved) slowest = connection;
      }
      if (slowest == nullptr || slowest == newest.connection.get()) return;  // one answer is always kept
      give_up(*slowest, "answers that are not taken use more memory than --max-memory allows");
    }
  }

  void give_up_late() {
    if (waiting_ == 0) return;
    std::vector<sw_connection*> late;
    for (auto& [connection, client] : clients_) {
      if (client.waiting && Clock::now() - client.waiting->moved > kPatience) late.push_back(connection);
    }
    for (sw_connection* const connection : late) give_up(*connection, "it took nothing of its answer for 30 s");
  }

  void give_up(sw_connection& connection, const char* why) {
    if (!options_.quiet) std::fprintf(stderr, "slotwire: a client that does not read is given up: %s\n", why);
    forget(connection);
  }

  /// Before the end (--count) answers that are under way are sent, as long as their clients take them.
  void finish_answers() {
    const auto end = Clock::now() + kPatience;
    while (waiting_ != 0 && !stop_.stopped() && Clock::now() < end) {
      std::array<sw_ready, 64> ready;
      std::size_t count = 0;
      sw_poller_wait(poller_.get(), ready.data(), ready.size(), to_ms(kLookEvery), &count);
      for (std::size_t i = 0; i < count; ++i) {
        auto& connection = *static_cast<sw_connection*>(ready[i].token);
        const auto found = clients_.find(&connection);
        if (found == clients_.end() || !found->second.waiting) continue;
        if (const int sent = go_on(found->second); sent != SW_OK && sent != SW_AGAIN) forget(connection);
      }
    }
  }

  int answer(Client& client, const sw_message& request) {
    sw_connection& connection = *client.connection;
    const auto start = std::chrono::steady_clock::now();
    int status = SW_OK;
    std::size_t bytes = request.length;
    std::string wrong;
    if (options_.echo) {
      Answer echo{.id = request.id};
      status = sw_reply_some(&connection, request.id, request.data, request.length, &echo.done);
      if (status == SW_AGAIN) {
        echo.body.assign(static_cast<const char*>(request.data), request.length);
        status = keep(client, std::move(echo));
      }
    } else {
      ProgramResult result = execute(connection, request, wrong);
      bytes = result.output.size();
      if (wrong.empty()) {
        status = send(client, {.id = request.id, .body = std::move(result.output)});
      } else {
        const std::uint16_t code = result.too_slow      ? kCodeTooSlow
                                   : result.too_much    ? kCodeTooMuch
                                   : result.status != 0 ? static_cast<std::uint16_t>(result.status)
                                                        : kCodeCannotRun;
        status = send(client, {.id = request.id, .code = code, .body = wrong});
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
    flush_log();
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

  const ServeOptions& options_;
  StopSignal stop_;
  ContextPtr context_;
  sw_service* service_;
  PollerPtr poller_;
  slot::Fd epoll_;
  slot::Waiter waiter_{slot::WaitPolicy{}};
  std::unordered_map<sw_connection*, Client> clients_;
  std::size_t waiting_ = 0;          ///< clients that have not taken their answer
  std::uint64_t waiting_bytes_ = 0;  ///< of their answers
  std::uint64_t answered_ = 0;
  std::uint64_t failed_ = 0;
};

int run_serve(const ServeOptions& options) {
  if (options.echo == !options.exec.empty()) throw CommandError(kExitUsage, "serve needs one of --echo and --exec CMD");
  ::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  return Server(options).run();
}

}  // namespace

void add_serve(CLI::App& app, Command& command) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* sub = app.add_subcommand("serve", "Answer requests to a service: echo them, or run a program for each");
  sub->add_option("SERVICE", options->service, "the service")->required()->check(service_name());
  auto* echo = sub->add_flag("--echo", options->echo, "answer with the request's body");
  sub->add_option("--exec", options->exec,
                  "run this by /bin/sh for each request: body on its standard input, answer from its standard output")
      ->type_name("CMD")
      ->excludes(echo);
  add_count(*sub, "-n,--count", options->count, "end after so many requests (default: never)");
  add_duration(*sub, "--time-limit", options->limit, microseconds(1000), microseconds(3'600'000'000),
               "a program that takes longer is killed (default 60s); a request's own deadline counts as well");
  add_size(*sub, "--max-output", options->most_output, 1, std::uint64_t{64} << 20,
           "a program that writes more is killed (default 64MiB)");
  add_size(
      *sub, "--max-memory", options->most_memory, std::uint64_t{1} << 20, std::uint64_t{1} << 40,
      "for requests that are not complete and answers that were not taken (default 256MiB); a client that does not "
      "read is given up first");
  sub->add_flag("-q,--quiet", options->quiet, "print nothing but errors that end it");
  add_common(*sub, options->common, "print one JSON object a line for each request, then one with the sums");
  sub->footer(
      R"(Requests are handled one after the other; start several to handle more at a time: connections take turns among
them. A program that exits with a status other than 0 makes the answer an error with that code; one that was
stopped makes it 408 (too slow, or the caller gave up) or 413 (too much output). Its standard error is this
command's. Connections survive a restart of slotwired.

Examples: slotwire serve echo --echo
          slotwire serve upper --exec 'tr a-z A-Z')");
  sub->callback([options, &command] { command = [options] { return run_serve(*options); }; });
}

}  // namespace slotwire::cli
