// A sender that forgets what it has sent at once.
#pragma once
#include <sys/mman.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "core/carriers/carrier.hpp"

namespace slotwire::test {

/// Stands before a carrier. Payload lies in memory that is overwritten and unmapped as soon as send() has returned, as
/// that of a slot may be: whoever reads it later sends something else, or dies of it.
class Forgetful final : public carriers::Carrier {
 public:
  explicit Forgetful(carriers::Carrier& below) : below_(below) {}

  std::string_view name() const override { return below_.name(); }
  std::size_t lines_per_frame() const override { return below_.lines_per_frame(); }
  std::size_t lines_per_frame_of(std::uint16_t link) const override { return below_.lines_per_frame_of(link); }
  std::size_t room(std::uint16_t link) const override { return below_.room(link); }
  std::size_t poll(std::uint64_t now_us, std::size_t max_frames, carriers::FrameSink& sink) override {
    return below_.poll(now_us, max_frames, sink);
  }
  int fd() const override { return below_.fd(); }
  const carriers::CarrierCounters& counters() const override { return below_.counters(); }

  void send(std::span<const pipeline::TxFrame> frames) override {
    std::size_t bytes = 1;
    for (const auto& frame : frames) bytes += frame.payload.size();
    void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::runtime_error("no memory for a test");
    std::vector<pipeline::TxFrame> moved(frames.begin(), frames.end());
    auto* at = static_cast<std::byte*>(memory);
    for (auto& frame : moved) {
      std::copy(frame.payload.begin(), frame.payload.end(), at);
      frame.payload = {at, frame.payload.size()};
      at += frame.payload.size();
    }
    below_.send(moved);
    std::fill_n(static_cast<std::byte*>(memory), bytes, std::byte{0xee});
    ::munmap(memory, bytes);
  }

 private:
  carriers::Carrier& below_;
};

}  // namespace slotwire::test
