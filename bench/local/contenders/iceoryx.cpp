// iceoryx: a publisher and a subscriber in each direction over RouDi, untyped loans everywhere, lossless (a full queue
// blocks the publisher). Waiting by looking is take(); waiting asleep is a WaitSet.
#include <unistd.h>

#include <fstream>
#include <iceoryx_posh/popo/untyped_publisher.hpp>
#include <iceoryx_posh/popo/untyped_subscriber.hpp>
#include <iceoryx_posh/popo/wait_set.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>
#include <optional>

#include "cluster.hpp"
#include "registry.hpp"
#include "sides.hpp"

namespace slotwire::bench {
namespace {

constexpr const char* kRouDi = "/usr/bin/iox-roudi";
constexpr int kStopMs = 10'000;
constexpr std::uint64_t kQueued = 256;  ///< messages; the most that iceoryx has

/// RouDi with chunks for all sizes of messages.
class RouDi final : public Daemon {
 public:
  explicit RouDi(const std::filesystem::path& directory) {
    std::filesystem::create_directories(directory);
    std::ofstream config(directory / "roudi.toml");
    config << "[general]\nversion = 1\n\n[[segment]]\n";
    const std::pair<std::size_t, unsigned> pools[] = {
        {128, 4096}, {4096 + 128, 1024}, {65536 + 128, 512}, {(1 << 20) + 128, 32}, {(4 << 20) + 128, 16}};
    for (const auto& [bytes, count] : pools)
      config << "\n[[segment.mempool]]\nsize = " << bytes << "\ncount = " << count << "\n";
    config.close();
    process_ = fault::Child::start({kRouDi, "-c", (directory / "roudi.toml").string(), "-m", "off", "-l", "error"}, -1,
                                   directory / "roudi.log");
  }
  ~RouDi() override { process_.stop(SIGTERM, kStopMs); }
  std::vector<pid_t> pids() const override { return {process_.pid()}; }

 private:
  fault::Child process_;
};

std::unique_ptr<Daemon> start_roudi(const std::filesystem::path& directory) {
  return std::make_unique<RouDi>(directory);
}

iox::capro::IdString_t id_of(const std::string& text) {
  return {iox::cxx::TruncateToCapacity, text.c_str()};
}

class IceoryxEnd {
 public:
  explicit IceoryxEnd(const Setup& setup) : spins_(setup.spins()) {
    const bool client = setup.role == Role::client;
    const std::string number = std::to_string(setup.job().number);
    const std::string side = client ? "client" : "server-" + std::to_string(setup.index);
    iox::runtime::PoshRuntime::initRuntime(
        iox::RuntimeName_t(iox::cxx::TruncateToCapacity, ("bench-" + number + "-" + side).c_str()));
    const bool publishes = setup.job().kind == Kind::publish;
    const auto service = [&](bool to_server) {
      return iox::capro::ServiceDescription(id_of("bench"), id_of(number), id_of(to_server ? "to" : "from"));
    };
    if (client || !publishes) {
      iox::popo::PublisherOptions options;
      options.subscriberTooSlowPolicy = iox::popo::ConsumerTooSlowPolicy::WAIT_FOR_CONSUMER;
      out_.emplace(service(client), options);
    }
    if (!client || !publishes) {
      iox::popo::SubscriberOptions options;
      options.queueCapacity = kQueued;
      options.queueFullPolicy = iox::popo::QueueFullPolicy::BLOCK_PRODUCER;
      in_.emplace(service(!client), options);
      if (!spins_) {
        wait_set_.emplace();
        wait_set_->attachState(*in_, iox::popo::SubscriberState::HAS_DATA).or_else([](auto) {
          throw std::runtime_error("iceoryx cannot wait for the subscriber");
        });
      }
    }
    if (!client) setup.bound();
    // RouDi joins both within some hundred milliseconds.
    while ((in_ && in_->getSubscriptionState() != iox::SubscribeState::SUBSCRIBED) || (out_ && !out_->hasSubscribers()))
      fault::pause_ms();
  }
  IceoryxEnd(const IceoryxEnd&) = delete;
  IceoryxEnd& operator=(const IceoryxEnd&) = delete;

  void send(Bytes message) {
    send_loan(message.size(),
              [&](std::span<std::byte> room) { std::memcpy(room.data(), message.data(), message.size()); });
  }
  template <typename Fill>
  void send_loan(std::size_t size, Fill fill) {
    while (true) {
      auto loan = out_->loan(static_cast<std::uint32_t>(size));
      if (loan.has_error()) {
        pause_cpu();  // all chunks are with subscribers
        continue;
      }
      void* const chunk = loan.value();
      fill(std::span<std::byte>(static_cast<std::byte*>(chunk), size));
      out_->publish(chunk);
      return;
    }
  }
  template <typename Take>
  void receive(Take take) {
    while (true) {
      auto taken = in_->take();
      if (!taken.has_error()) {
        const void* const chunk = taken.value();
        const auto* const header = iox::mepoo::ChunkHeader::fromUserPayload(chunk);
        take(Bytes(static_cast<const std::byte*>(chunk), header->userPayloadSize()));
        in_->release(chunk);
        return;
      }
      if (wait_set_) {
        wait_set_->wait();
      } else {
        pause_cpu();  // taking again and again delays the publisher, whose lines it reads
      }
    }
  }

 private:
  bool spins_;
  std::optional<iox::popo::UntypedPublisher> out_;
  std::optional<iox::popo::UntypedSubscriber> in_;
  std::optional<iox::popo::WaitSet<>> wait_set_;
};

}  // namespace

Contender iceoryx() {
  return make_contender<IceoryxEnd>("iceoryx", {.fans_out = true,
                                                .unavailable =
                                                    [] {
                                                      return ::access(kRouDi, X_OK) == 0
                                                                 ? std::string()
                                                                 : std::string("there is no ") + kRouDi +
                                                                       " (package iceoryx)";
                                                    },
                                                .start = start_roudi});
}

}  // namespace slotwire::bench
