// A client or a server of the fault campaigns: every message is numbered, and every number is checked at both ends.
//
//   fault_worker client SOCKET SERVICE INDEX SEED    descriptor 3: the shared reports
//   fault_worker server SOCKET SERVICE INDEX SEED
//   fault_worker sink SOCKET SERVICE INDEX SEED      takes anything, for the hostile process
#include <sys/mman.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "cluster.hpp"
#include "slotwire.h"

namespace {

using slotwire::fault::kMaxWorkers;
using slotwire::fault::WorkerReport;

/// What every request and answer begins with; the rest is filled from the number.
struct Numbered {
  std::uint64_t client = 0;
  std::uint64_t number = 0;
};

constexpr std::uint64_t kOutstanding = 16;

WorkerReport* report = nullptr;

void problem(const std::string& text) {
  report->violations.fetch_add(1);
  std::snprintf(report->last_problem, sizeof report->last_problem, "%s", text.c_str());
  std::fprintf(stderr, "%s\n", text.c_str());
}

/// Sizes go from a line to several, and now and then beyond a quarter of the ring.
std::size_t size_of(std::uint64_t number) {
  if (number % 997 == 0) return 40'000;
  return sizeof(Numbered) + (number * 37 % 700);
}

std::vector<unsigned char> body(const Numbered& head) {
  std::vector<unsigned char> bytes(size_of(head.number));
  std::memcpy(bytes.data(), &head, sizeof head);
  for (std::size_t i = sizeof head; i < bytes.size(); ++i)
    bytes[i] = static_cast<unsigned char>((head.number * 131) + (i * 7) + head.client);
  return bytes;
}

bool is_end(int status) {
  return status != SW_OK && status != SW_AGAIN && status != SW_TIMED_OUT && status != SW_LINK_DOWN &&
         status != SW_ENGINE_GONE;
}

void ended(int status) {
  if (status == SW_PEER_DIED || status == SW_PEER_CLOSED) {
    report->peer_ends.fetch_add(1);
  } else {
    report->other_ends.fetch_add(1);
    std::snprintf(report->last_problem, sizeof report->last_problem, "%s: %s", sw_status_name(status), sw_last_error());
    std::fprintf(stderr, "ended: %s: %s\n", sw_status_name(status), sw_last_error());
  }
}

int run_client(sw_context* context, const char* service, std::uint64_t client) {
  sw_connection* connection = nullptr;
  std::uint64_t sent = 0;
  std::uint64_t answered = 0;
  while (true) {
    const bool stop = report->stop.load() != 0;
    if (connection == nullptr) {
      if (stop) return 0;
      const int status = sw_connect(context, service, nullptr, 1000, &connection);
      if (status != SW_OK) {
        connection = nullptr;
        // Nobody serves for a moment, or a node is away: that is what a campaign does.
        slotwire::fault::pause_ms();
        sw_context_process(context);
        continue;
      }
      report->connects.fetch_add(1);
      sent = answered = 0;
    }
    int status = SW_OK;
    while (!stop && sent - answered < kOutstanding && status == SW_OK) {
      const std::vector<unsigned char> bytes = body({client, sent});
      std::uint32_t id = 0;
      status = sw_start_call(connection, 1, bytes.data(), bytes.size(), 2000, &id);
      if (status == SW_OK) ++sent;
    }
    if (stop && sent == answered) {
      sw_connection_close(connection);
      return 0;
    }
    if (status == SW_OK || status == SW_TIMED_OUT || status == SW_LINK_DOWN || status == SW_ENGINE_GONE) {
      sw_message message;
      SW_INIT(message);
      status = sw_receive(connection, 100, &message);
      if (status == SW_OK) {
        const std::vector<unsigned char> expected = body({client, answered});
        if (message.kind != SW_REPLY || message.length != expected.size() ||
            std::memcmp(message.data, expected.data(), expected.size()) != 0) {
          Numbered got;
          if (message.length >= sizeof got) std::memcpy(&got, message.data, sizeof got);
          problem("client " + std::to_string(client) + ": expected answer " + std::to_string(answered) + ", got kind " +
                  std::to_string(message.kind) + " number " + std::to_string(got.number) + " of client " +
                  std::to_string(got.client));
        }
        ++answered;
        report->done.fetch_add(1);
        sw_release(connection, &message);
        continue;
      }
    }
    if (is_end(status)) {
      ended(status);
      sw_connection_close(connection);
      connection = nullptr;
    }
  }
}

/// Serves `name` until the campaign says stop. `take` (int(connection, message)) handles a message that was received
/// and returns the status of its answer; `gone` (void(connection, status)) hears of every connection that ends.
template <typename Take, typename Gone>
int serve(sw_context* context, const char* name, Take&& take, Gone&& gone) {
  constexpr int kMessagesInTurn = 64;
  sw_service* service = nullptr;
  int status = sw_serve(context, name, nullptr, &service);
  while (status == SW_ENGINE_GONE && report->stop.load() == 0) {  // killed just now: the next one may be asked again
    slotwire::fault::pause_ms();
    sw_context_process(context);
    status = sw_serve(context, name, nullptr, &service);
  }
  if (status != SW_OK) {
    problem(std::string("cannot serve: ") + sw_last_error());
    return 1;
  }
  sw_poller* poller = nullptr;
  sw_poller_create(context, &poller);
  while (report->stop.load() == 0) {
    std::array<sw_ready, 64> ready{};
    std::size_t count = 0;
    sw_poller_wait(poller, ready.data(), ready.size(), 100, &count);
    sw_connection* connection = nullptr;
    while (sw_accept(service, 0, &connection) == SW_OK) {
      sw_poller_add(poller, connection, SW_READABLE, connection);
      report->connects.fetch_add(1);
    }
    for (std::size_t i = 0; i < count; ++i) {
      connection = static_cast<sw_connection*>(ready[i].token);
      for (int budget = 0; budget < kMessagesInTurn; ++budget) {
        sw_message message;
        SW_INIT(message);
        int status = sw_receive(connection, 0, &message);
        if (status == SW_OK) {
          status = take(connection, message);
          sw_release(connection, &message);
        }
        if (status == SW_AGAIN) break;
        if (is_end(status)) {
          gone(connection, status);
          sw_connection_close(connection);
          break;
        }
      }
    }
  }
  sw_poller_destroy(poller);
  return 0;
}

/// Takes whatever comes, from whomever, and must live.
int run_sink(sw_context* context, const char* name) {
  const auto take = [](sw_connection* connection, const sw_message& message) {
    report->done.fetch_add(1);
    // Whether the other end takes the answer does not matter.
    sw_reply(connection, message.id, message.data, message.length > 64 ? 64 : message.length, 0);
    return static_cast<int>(SW_OK);
  };
  return serve(context, name, take, [](sw_connection*, int) {});
}

int run_server(sw_context* context, const char* name) {
  struct Peer {
    std::uint64_t client = 0, next = 0;
    bool known = false;
  };
  std::map<sw_connection*, Peer> peers;
  const auto take = [&](sw_connection* connection, const sw_message& message) {
    Peer& peer = peers[connection];
    Numbered head;
    if (message.kind != SW_REQUEST || message.length < sizeof head) {
      problem("server: a message that nobody sent");
    } else {
      std::memcpy(&head, message.data, sizeof head);
      if (!peer.known) peer = {head.client, 0, true};
      const std::vector<unsigned char> expected = body({peer.client, peer.next});
      if (message.length != expected.size() || std::memcmp(message.data, expected.data(), expected.size()) != 0) {
        problem("server: expected request " + std::to_string(peer.next) + " of client " + std::to_string(peer.client) +
                ", got " + std::to_string(head.number) + " of " + std::to_string(head.client));
      }
      ++peer.next;
      report->done.fetch_add(1);
    }
    int status = SW_OK;
    do {
      status = sw_reply(connection, message.id, message.data, message.length, 100);
    } while (status == SW_TIMED_OUT || status == SW_LINK_DOWN || status == SW_ENGINE_GONE);
    return status;
  };
  return serve(context, name, take, [&](sw_connection* connection, int status) {
    ended(status);
    peers.erase(connection);
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  void* shared = ::mmap(nullptr, sizeof(WorkerReport) * kMaxWorkers, PROT_READ | PROT_WRITE, MAP_SHARED, 3, 0);
  if (shared == MAP_FAILED) return 2;
  const auto index = static_cast<std::size_t>(std::atoi(argv[4]));
  report = static_cast<WorkerReport*>(shared) + index;
  sw_options options;
  SW_INIT(options);
  options.socket = argv[2];
  sw_context* context = nullptr;
  if (!slotwire::fault::eventually(10'000, [&] { return sw_open(&options, &context) == SW_OK; })) {
    problem(std::string("cannot open: ") + sw_last_error());
    return 1;
  }
  const std::uint64_t client = (index << 32) | static_cast<std::uint64_t>(std::atoll(argv[5]));
  const std::string role = argv[1];
  const int result = role == "client" ? run_client(context, argv[3], client)
                     : role == "sink" ? run_sink(context, argv[3])
                                      : run_server(context, argv[3]);
  sw_close(context);
  return result;
}
