#include "runtime/blocks/region_means.hpp"

#include <fcntl.h>

#include <utility>

#include "runtime/blocks/engine_call.hpp"
#include "runtime/blocks/meeting.hpp"

namespace slotwire::blocks {
namespace {

class SharedMeans final : public RegionMeans {
 public:
  explicit SharedMeans(std::string region) : region_(std::move(region)) {}

  MadeList make_list(std::size_t bytes) override {
    if (const auto engine = EngineCall::connect(region_)) engine->ask(false, bytes);
    slot::WrittenFile made = slot::create_written_file("slotwire-blocks", bytes);
    const auto number = static_cast<std::uint32_t>(made.file.get());
    return {std::move(made.file), std::move(made.mapping), number};
  }

  slot::Fd open_list(const Member& member, std::uint32_t number) override {
    slot::Fd file = open_descriptor_of(member.pid, number, O_RDONLY);
    // A process that has ended meanwhile may have left its number to another one.
    if (file && !is_alive(member.pid, member.start_time)) return slot::Fd();
    return file;
  }

 private:
  std::string region_;
};

}  // namespace

std::unique_ptr<RegionMeans> shared_means(const std::string& region) {
  return std::make_unique<SharedMeans>(region);
}

}  // namespace slotwire::blocks
