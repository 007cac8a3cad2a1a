#include "tools/slotwire/blocks_link/blocks_link.hpp"

#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <map>
#include <memory>
#include <set>
#include <unordered_set>
#include <utility>

#include "core/slot/waiter.hpp"
#include "runtime/blocks/region_report.hpp"
#include "runtime/control/printable.hpp"
#include "tools/slotwire/blocks_link/inlet.hpp"
#include "tools/slotwire/blocks_link/outlet.hpp"
#include "tools/slotwire/control_client.hpp"

namespace slotwire::cli::blocks_link {
namespace {

using Clock = std::chrono::steady_clock;

/// Topic under which the process that links a region is known in it, and learns of changes.
constexpr const char* kPresence = "slotwire.link";
constexpr std::size_t kAtOnce = 64;
constexpr sw_timeout_ms kConnectMs = 10'000;
constexpr std::chrono::seconds kFirstRetry{1};
constexpr std::chrono::seconds kLastRetry{30};

char poller_tag, stop_tag, presence_tag, timer_tag;

void say(const std::string& text) {
  std::fprintf(stderr, "slotwire blocks link: %s\n", control::printable(text).c_str());
}

/// A topic of a peer that processes here subscribe to.
struct Import {
  std::string node;
  Want want;
  std::unique_ptr<Inlet> inlet;  ///< none while it waits for the next try
  bool connecting = false;
  bool wanted = true;
  bool was_up = false;
  Clock::time_point next_try{};
  std::chrono::seconds delay = kFirstRetry;
  std::string said;             ///< the trouble that was logged last
  std::uint64_t too_large = 0;  ///< as logged last
};

class Linker {
 public:
  explicit Linker(const LinkOptions& options)
      : options_(options),
        context_(open_context(options.common, "slotwire-blocks-link")),
        poller_(create_poller(*context_)),
        region_(options.region),
        presence_(join()),
        service_(serve(*context_, service_name(options.region, sw_context_node(context_.get())))),
        epoll_(::epoll_create1(EPOLL_CLOEXEC)),
        timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {
    ::signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    watch(sw_poller_fd(poller_.get()), &poller_tag);
    watch(stop_.fd(), &stop_tag);
    watch(presence_->fd(), &presence_tag);
    watch(timer_.get(), &timer_tag);
    std::string peers;
    const std::set<std::string> linked = linked_nodes();
    std::set<std::string> named;
    for (const std::string& peer : options.peers) {
      if (peer.size() > 63 || peer.empty() ||
          peer.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") != std::string::npos)
        throw CommandError(kExitUsage, "--peer '" + peer + "' is no node's name: 1 to 63 of a-z, 0-9 and '-'");
      if (peer == sw_context_node(context_.get()))
        throw CommandError(kExitUsage, "--peer '" + peer + "' is this node itself");
      if (!named.insert(peer).second) throw CommandError(kExitUsage, "--peer '" + peer + "' is given twice");
      if (!linked.contains(peer)) {
        throw CommandError(kExitUsage, "--peer '" + peer + "': node '" + sw_context_node(context_.get()) +
                                           "' has no [[link]] to a node of that name; add one, or correct the name");
      }
      peers += (peers.empty() ? "" : ", ") + peer;
    }
    say("region '" + options.region + "' of node '" + sw_context_node(context_.get()) +
        "' is linked; messages come from " + (peers.empty() ? "no other node (--peer)" : peers));
  }

  int run() {
    slot::Waiter waiter{slot::WaitPolicy{}};
    try_peers();
    look_for_interests();
    while (!stop_.stopped()) {
      bool worked = drive_queued();
      worked = take_connections() || worked;
      if (worked) {
        waiter.reset();
        continue;
      }
      if (waiter.next() == slot::Waiter::Step::again) continue;
      if (!arm()) continue;
      take_events();
      waiter.reset();
    }
    return kExitOk;
  }

 private:
  /// Nodes that slotwired has links to, whether they are up or not.
  std::set<std::string> linked_nodes() const {
    std::set<std::string> nodes;
    const Json status = ControlClient(options_.common).ask(control::StatusRequest{});
    for (const Json& link : status.at("links")) nodes.insert(link.at("peer").get<std::string>());
    return nodes;
  }

  std::unique_ptr<blocks::Subscriber> join() {
    auto presence = std::make_unique<blocks::Subscriber>(
        region_, kPresence,
        blocks::SubscriberOptions{
            .overflow = blocks::Overflow::drop_oldest, .history = 0, .wait = {}, .for_link = true});
    for (const std::uint32_t pid : blocks::subscribers_of(region_, kPresence)) {
      if (pid != static_cast<std::uint32_t>(::getpid())) {
        throw CommandError(kExitFailed, "region '" + options_.region + "' is linked by process " + std::to_string(pid) +
                                            " already: one is enough for all peers");
      }
    }
    return presence;
  }

  void watch(int fd, void* tag) const {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = tag;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
      throw CommandError(kExitFailed, "cannot watch a descriptor (fs.epoll.max_user_watches)");
  }

  // ---- what is wanted here ----

  /// Says at the start which peers cannot be reached, not only when somebody wants a topic of theirs.
  void try_peers() {
    for (const std::string& peer : options_.peers) {
      sw_connect_options options;
      SW_INIT(options);
      auto* const token = const_cast<std::string*>(&peer);
      const int status =
          sw_start_connect(context_.get(), service_name(options_.region, peer).c_str(), &options, kConnectMs, token);
      if (status == SW_OK) {
        probes_.insert(token);
      } else {
        say_unreachable(peer);
      }
    }
  }

  void say_unreachable(const std::string& peer) const {
    say("nothing comes from node '" + peer + "' yet: " + sw_last_error() + "; it takes [[service]] name = \"" +
        service_name(options_.region, peer) + "\", nodes = [\"" + peer +
        "\"] here, and 'slotwire blocks link' on that node");
  }

  void look_for_interests() {
    blocks::Subscriber::View view;
    while (presence_->take(Clock::time_point::min(), view) == blocks::Subscriber::Look::taken) presence_->release(view);
    const std::vector<blocks::Interest> interests = blocks::interests_in(region_);
    for (auto& [key, import] : imports_) import->wanted = false;
    for (const std::string& peer : options_.peers) {
      std::size_t topics = 0;
      for (const blocks::Interest& interest : interests) {
        if (interest.topic == kPresence) continue;
        if (++topics > options_.topics) {
          if (!std::exchange(said_too_many_, true))
            say("more than " + std::to_string(options_.topics) +
                " topics are subscribed to (--max-topics): the others stay on this node");
          break;
        }
        auto& import = imports_[{peer, interest.topic}];
        if (!import) {
          import = std::make_unique<Import>();
          live_imports_.insert(import.get());
          import->node = peer;
          import->want = {interest.topic, interest.overflow, interest.history};
        }
        import->wanted = true;
        if (interest.overflow != import->want.overflow && interest.overflow != blocks::Overflow::drop_oldest &&
            import->want.overflow != blocks::Overflow::block) {
          import->want.overflow = interest.overflow;
          if (import->inlet) {
            import->inlet->strengthen(interest.overflow);
            queue(*import->inlet, import.get());
          }
        }
      }
    }
    for (auto& [key, import] : imports_) try_import(*import);
    bury();
  }

  void try_import(Import& import) {
    if (!import.wanted || import.inlet || import.connecting) return;
    if (Clock::now() < import.next_try) return set_timer(import.next_try);
    sw_connect_options options;
    SW_INIT(options);
    const int status = sw_start_connect(context_.get(), service_name(options_.region, import.node).c_str(), &options,
                                        kConnectMs, &import);
    if (status != SW_OK) return try_later(import, sw_last_error());
    import.connecting = true;
  }

  void try_later(Import& import, const std::string& reason) {
    import.inlet.reset();
    import.next_try = Clock::now() + import.delay;
    import.delay = std::min(import.delay * 2, kLastRetry);
    if (import.said != reason) {
      import.said = reason;
      say("topic '" + import.want.topic + "' of node '" + import.node + "': " + reason +
          (import.was_up ? "; messages that are published until it is back are missing here" : "") + "; tried again");
    }
    set_timer(import.next_try);
  }

  void set_timer(Clock::time_point when) {
    if (timer_set_ && *timer_set_ <= when) return;
    timer_set_ = when;
    const auto left = std::max(std::chrono::nanoseconds(1), std::chrono::nanoseconds(when - Clock::now()));
    itimerspec at{};
    at.it_value.tv_sec = left.count() / 1'000'000'000;
    at.it_value.tv_nsec = left.count() % 1'000'000'000;
    ::timerfd_settime(timer_.get(), 0, &at, nullptr);
  }

  void on_connected() {
    while (true) {
      void* token = nullptr;
      sw_connection* raw = nullptr;
      const int status = sw_connected(context_.get(), &token, &raw);
      if (token == nullptr) return;
      ConnectionPtr connection(raw);
      if (probes_.erase(token) != 0) {
        if (status != SW_OK) say_unreachable(*static_cast<const std::string*>(token));
        continue;
      }
      auto& import = *static_cast<Import*>(token);
      import.connecting = false;
      if (!import.wanted) continue;
      if (status != SW_OK) {
        try_later(import, sw_last_error());
        continue;
      }
      import.inlet = std::make_unique<Inlet>(region_, import.node, import.want, options_.block_bytes);
      import.want.history = 0;  // a later connection does not bring again what this one did
      import.inlet->set_connection(std::move(connection));
      if (!import.inlet->ended() && !add(*import.inlet, &import)) continue;
      if (!import.inlet->ended()) {
        say("topic '" + import.want.topic + "' comes from node '" + import.node + "'");
        import.was_up = true;
        import.said.clear();
        import.delay = kFirstRetry;
      }
      queue(*import.inlet, &import);
    }
  }

  void accept_all() {
    sw_connection* raw = nullptr;
    while (sw_accept(service_, 0, &raw) == SW_OK) {
      ConnectionPtr connection(raw);
      if (outlets_.size() >= options_.topics * std::max<std::size_t>(1, options_.peers.size())) {
        say("a node subscribes to more topics than --max-topics allows: it is turned away");
        continue;
      }
      auto outlet = std::make_unique<Outlet>(region_, std::move(connection));
      Outlet& added = *outlet;
      outlets_.emplace(&added, std::move(outlet));
      add(added, nullptr);
    }
  }

  // ---- moving ----

  template <typename End>
  bool add(End& end, Import* import) {
    void* token = import != nullptr ? static_cast<void*>(import) : static_cast<void*>(&end);
    if (sw_poller_add(poller_.get(), end.connection(), end.wants(), token) != SW_OK) {
      say(sw_last_error());
      if (import != nullptr) {
        try_later(*import, sw_last_error());
      } else {
        outlets_.erase(reinterpret_cast<Outlet*>(token));
      }
      return false;
    }
    end.watched = end.wants();
    return true;
  }

  template <typename End>
  void queue(End& end, void* token) {
    if (std::exchange(end.queued, true)) return;
    queued_.push_back(token);
  }

  template <typename End>
  bool drive(End& end, void* token) {
    end.queued = false;
    end.disarm_if_armed();
    const bool more = end.drive();
    if (end.ended()) return false;
    if (end.wants() != end.watched) {
      sw_poller_set(poller_.get(), end.connection(), end.wants());
      end.watched = end.wants();
    }
    if (end.fd() != end.watched_fd) {
      // A newer subscription's; the older one's leaves by itself when it closes.
      watch(end.fd(), token);
      end.watched_fd = end.fd();
    }
    if (more) queue(end, token);
    return true;
  }

  void drive(void* token) {
    if (const auto found = outlets_.find(static_cast<Outlet*>(token)); found != outlets_.end()) {
      Outlet& outlet = *found->second;
      const bool had_topic = !outlet.topic().empty();
      const bool stays = drive(outlet, token);
      if (!had_topic && !outlet.topic().empty())
        say("topic '" + outlet.topic() + "' goes to node '" + outlet.node() + "'");
      if (stays) return;
      // One that never named a topic: the other node has only looked whether somebody is here.
      if (!outlet.topic().empty() || !outlet.reason().empty()) {
        say("topic '" + outlet.topic() + "' no longer goes to node '" + outlet.node() + "'" +
            (outlet.reason().empty() ? "" : ": " + outlet.reason()) + "; " + std::to_string(outlet.messages()) +
            " messages went");
      }
      std::erase(queued_, token);
      outlets_.erase(found);
      return;
    }
    // A batch of events or of queued tokens may name what an earlier one of the same batch has ended.
    if (!live_imports_.contains(token)) return;
    auto& import = *static_cast<Import*>(token);
    if (!import.inlet) return;
    const bool stays = drive(*import.inlet, token);
    if (import.inlet->too_large() != import.too_large) {
      import.too_large = import.inlet->too_large();
      say("topic '" + import.want.topic + "' of node '" + import.node + "': a message of " +
          std::to_string(import.inlet->too_large_bytes()) + " bytes does not fit and is lost (raise --memory)");
    }
    if (stays) return;
    std::erase(queued_, token);
    const std::string reason = import.inlet->reason();
    import.too_large = 0;
    try_later(import, reason);
  }

  bool drive_queued() {
    std::vector<void*> now;
    now.swap(queued_);
    for (void* token : now) drive(token);
    return !now.empty();
  }

  bool take_connections() {
    std::array<sw_ready, kAtOnce> ready;
    std::size_t count = 0;
    const int status = sw_poller_wait(poller_.get(), ready.data(), ready.size(), 0, &count);
    if (status == SW_AGAIN) return false;
    check(status, "cannot wait for connections");
    for (std::size_t i = 0; i < count; ++i) drive(ready[i].token);
    if (count == 0) {
      accept_all();
      on_connected();
      bury();
    }
    return true;
  }

  bool arm() {
    bool quiet = true;
    for (auto& [raw, outlet] : outlets_) quiet = outlet->arm_if_disarmed() || (queue(*outlet, raw), false);
    for (auto& [key, import] : imports_) {
      if (import->inlet)
        quiet = (import->inlet->arm_if_disarmed() || (queue(*import->inlet, import.get()), false)) && quiet;
    }
    if (!presence_->arm()) {
      look_for_interests();
      quiet = false;
    }
    return quiet && queued_.empty() && sw_poller_arm(poller_.get()) == SW_OK;
  }

  void take_events() {
    std::array<epoll_event, kAtOnce> events;
    const int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < n; ++i) {
      void* tag = events[static_cast<std::size_t>(i)].data.ptr;
      if (tag == &poller_tag || tag == &stop_tag) continue;
      if (tag == &presence_tag) {
        presence_->disarm();
        look_for_interests();
      } else if (tag == &timer_tag) {
        std::uint64_t ticks = 0;
        (void)!::read(timer_.get(), &ticks, sizeof ticks);
        timer_set_.reset();
        for (auto& [key, import] : imports_) try_import(*import);
      } else {
        drive(tag);
      }
    }
  }

  /// Drops what nobody here wants any more.
  void bury() {
    std::erase_if(imports_, [&](const auto& entry) {
      Import& import = *entry.second;
      if (import.wanted || import.connecting) return false;
      std::erase(queued_, static_cast<void*>(&import));
      live_imports_.erase(&import);
      if (import.inlet) {
        say("topic '" + import.want.topic + "' of node '" + import.node + "' is not wanted any more; " +
            std::to_string(import.inlet->messages()) + " messages came" +
            (import.inlet->dropped() == 0
                 ? ""
                 : ", " + std::to_string(import.inlet->dropped()) + " were lost there, as its subscribers allow"));
      }
      return true;
    });
  }

  const LinkOptions& options_;
  StopSignal stop_;
  ContextPtr context_;
  PollerPtr poller_;
  blocks::Region region_;
  std::unique_ptr<blocks::Subscriber> presence_;
  sw_service* service_;
  slot::Fd epoll_, timer_;
  std::optional<Clock::time_point> timer_set_;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<Import>> imports_;  ///< by peer and topic
  std::unordered_set<void*> live_imports_;                                          ///< their tokens
  std::unordered_set<void*> probes_;  ///< connects of try_peers() that are under way; each a name in `options_`
  std::map<Outlet*, std::unique_ptr<Outlet>> outlets_;
  std::vector<void*> queued_;  ///< tokens: an Import, or an Outlet
  bool said_too_many_ = false;
};

}  // namespace

int run_link(const LinkOptions& options) {
  return Linker(options).run();
}

}  // namespace slotwire::cli::blocks_link
