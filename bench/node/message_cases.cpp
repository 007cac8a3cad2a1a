// Messages in one direction, sent one at a time: the rate at their receiver.
#include <unistd.h>

#include <algorithm>

#include "cases.hpp"

namespace slotwire::bench {
namespace {

constexpr double kGigabyte = 1e9;
constexpr std::size_t kWarmShare = 10;  ///< one of so many messages comes before the clock starts

/// The receiver's tally after `count` messages.
void measure_messages(const Contender& contender, std::size_t count, Tally& tally) {
  Part receiver(contender.name + ": receiver", [&](const Ready& ready) {
    contender.sink(ready, tally);
    ready("done");
    while (true) ::pause();
  });
  const std::string endpoint = receiver.wait();
  const Part sender(contender.name + ": sender", [&](const Ready&) {
    const std::unique_ptr<Source> source = contender.source(endpoint);
    const std::vector<std::byte> message(tally.size(), std::byte{0x5a});
    for (std::size_t i = 0; i < count; ++i) source->send(message);
    source->finish();
    while (true) ::pause();
  });
  receiver.wait();
}

}  // namespace

void run_messages(Stage& stage, const std::string& name) {
  const bool large = name == "large-1MiB";
  const std::size_t size = large ? std::size_t{1} << 20 : 64;
  const std::size_t count = std::max<std::size_t>(large ? stage.scale().calls / 10 : stage.scale().calls * 20, 20);
  std::vector<Contender> all{slotwire_contender(stage.pair()), relay_asleep(), relay_awake()};
  all.insert(all.end(), peers().begin(), peers().end());
  stage.figures().set_floor(name, "bare tcp");
  for (int run = 0; run < stage.scale().runs; ++run) {
    for (const Contender& contender : all) {
      if (!contender.sink || size < contender.smallest || contender.largest < size) continue;
      Tally tally(size, count / kWarmShare, count);
      measure_messages(contender, count, tally);
      const double rate = tally.rate();
      stage.figures().add(name, contender.name,
                          large ? Value{"throughput", "GB/s", rate * static_cast<double>(size) / kGigabyte}
                                : Value{"messages", "messages/s", rate});
      if (tally.lost_share() > 0)
        stage.figures().add(name, contender.name, {"lost messages", "%", tally.lost_share() * 100});
    }
  }
}

}  // namespace slotwire::bench
