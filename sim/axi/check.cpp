#include "sim/axi/check.hpp"

#include <algorithm>
#include <bit>

namespace slotwire::sim::axi {
namespace {

constexpr std::uint32_t kIncr = 1;
constexpr std::uint64_t kBoundary = 4096;  ///< that no burst crosses

std::array<std::uint32_t, 2> halves(std::uint64_t value) {
  return {static_cast<std::uint32_t>(value), static_cast<std::uint32_t>(value >> 32)};
}

}  // namespace

void HandshakeCheck::see(bool valid, bool ready, std::span<const std::uint32_t> payload) {
  if (waits_ && violation_.empty()) {
    if (!valid) {
      violation_ = name_ + ": what was offered vanished before it was taken";
    } else if (!std::equal(payload.begin(), payload.end(), payload_.begin(), payload_.end())) {
      violation_ = name_ + ": what was offered changed before it was taken";
    }
  }
  waits_ = valid && !ready;
  if (waits_) payload_.assign(payload.begin(), payload.end());
}

void StreamCheck::violated(const std::string& what) {
  if (violation_.empty()) violation_ = name_ + ": " + what;
}

void StreamCheck::see(const Beat& beat) {
  payload_.assign(beat.data.begin(), beat.data.end());
  for (const std::uint32_t half : halves(beat.keep)) payload_.push_back(half);
  payload_.push_back(beat.last ? 1 : 0);
  handshake_.see(beat.valid, beat.ready, payload_);
  if (!beat.valid) return;
  const auto bytes = static_cast<std::size_t>(std::popcount(beat.keep));
  const std::size_t width = beat.data.size() * sizeof(std::uint32_t);
  const std::uint64_t run = bytes >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bytes) - 1;
  if (bytes == 0) violated("a beat without bytes");
  if (beat.keep != run) violated("a beat with holes");
  if (!beat.last && bytes != width) violated("a beat that is not the last is short");
  if (!beat.ready) return;
  if (++beats_ > max_beats_) violated("a packet of more than " + std::to_string(max_beats_) + " beats");
  if (beat.last) beats_ = 0;
}

LiteCheck::LiteCheck(const std::string& name)
    : name_(name), aw_(name + " AW"), w_(name + " W"), b_(name + " B"), ar_(name + " AR"), r_(name + " R") {}

void LiteCheck::reset() {
  for (HandshakeCheck* channel : {&aw_, &w_, &b_, &ar_, &r_}) channel->reset();
  aws_ = ws_ = ars_ = 0;
}

void LiteCheck::see(const Sample& s) {
  aw_.see(s.awvalid, s.awready, std::array{s.awaddr});
  w_.see(s.wvalid, s.wready, std::array{s.wdata, s.wstrb});
  b_.see(s.bvalid, s.bready, std::array{s.bresp});
  ar_.see(s.arvalid, s.arready, std::array{s.araddr});
  r_.see(s.rvalid, s.rready, std::array{s.rdata, s.rresp});
  for (const HandshakeCheck* channel : {&aw_, &w_, &b_, &ar_, &r_}) {
    if (violation_.empty()) violation_ = channel->violation();
  }
  const auto violated = [this](const char* what) {
    if (violation_.empty()) violation_ = name_ + ": " + what;
  };
  // An answer comes after the clock in which what it answers was taken.
  if (s.bvalid && (aws_ == 0 || ws_ == 0)) violated("an answer to a write that was not taken");
  if (s.rvalid && ars_ == 0) violated("an answer to a read that was not taken");
  if ((s.awvalid && s.awaddr % 4 != 0) || (s.arvalid && s.araddr % 4 != 0)) violated("an address that is no word's");
  if ((s.bvalid && s.bresp == 1) || (s.rvalid && s.rresp == 1)) violated("EXOKAY, which AXI4-Lite does not have");
  if (s.bvalid && s.bready && aws_ != 0 && ws_ != 0) {
    --aws_;
    --ws_;
  }
  if (s.rvalid && s.rready && ars_ != 0) --ars_;
  aws_ += s.awvalid && s.awready ? 1 : 0;
  ws_ += s.wvalid && s.wready ? 1 : 0;
  ars_ += s.arvalid && s.arready ? 1 : 0;
}

MemoryCheck::MemoryCheck(const std::string& name, std::size_t bytes, std::size_t most)
    : name_(name),
      bytes_(bytes),
      most_(most),
      aw_(name + " AW"),
      w_(name + " W"),
      b_(name + " B"),
      ar_(name + " AR"),
      r_(name + " R") {}

void MemoryCheck::reset() {
  for (HandshakeCheck* channel : {&aw_, &w_, &b_, &ar_, &r_}) channel->reset();
  write_lengths_.clear();
  read_lengths_.clear();
  early_beats_.clear();
  write_beats_ = read_beats_ = 0;
  writes_ = whole_ = 0;
}

void MemoryCheck::violated(const std::string& what) {
  if (violation_.empty()) violation_ = name_ + ": " + what;
}

void MemoryCheck::see_address(const Address& a, HandshakeCheck& handshake, const char* which) {
  const auto [low, high] = halves(a.address);
  handshake.see(a.valid, a.ready, std::array{low, high, a.id, a.length, a.size, a.burst});
  if (!a.valid) return;
  const std::string burst = std::string("a ") + which + " burst ";
  if (a.burst != kIncr) violated(burst + "that is not INCR");
  if ((std::size_t{1} << a.size) > bytes_) violated(burst + "of beats wider than the bus");
  const std::uint64_t first = a.address >> a.size << a.size;
  const std::uint64_t end = first + ((std::uint64_t{a.length} + 1) << a.size);
  if (first / kBoundary != (end - 1) / kBoundary) violated(burst + "that crosses 4 KiB");
  if (a.id != 0) violated(burst + "with an ID other than 0");
}

void MemoryCheck::see(const Sample& s) {
  see_address(s.aw, aw_, "write");
  see_address(s.ar, ar_, "read");
  std::vector<std::uint32_t> w(s.wdata.begin(), s.wdata.end());
  for (const std::uint32_t half : halves(s.wstrb)) w.push_back(half);
  w.push_back(s.wlast ? 1 : 0);
  w_.see(s.wvalid, s.wready, w);
  b_.see(s.bvalid, s.bready, std::array{s.bresp});
  std::vector<std::uint32_t> r(s.rdata.begin(), s.rdata.end());
  r.push_back(s.rresp << 1 | (s.rlast ? 1 : 0));
  r_.see(s.rvalid, s.rready, r);
  for (const HandshakeCheck* channel : {&aw_, &w_, &b_, &ar_, &r_}) {
    if (violation_.empty()) violation_ = channel->violation();
  }
  if (s.bvalid && whole_ == 0) violated("an answer to a write that is not whole");
  if (s.bvalid && s.bready && whole_ != 0) {
    --whole_;
    --writes_;
  }
  if (s.rvalid && read_lengths_.empty()) {
    violated("read data that nobody asked for");
  } else if (s.rvalid && s.rready) {
    if (s.rlast != (read_beats_ == read_lengths_.front())) violated("the last beat of a read is marked wrongly");
    ++read_beats_;
    if (s.rlast || read_beats_ > read_lengths_.front()) {
      read_lengths_.pop_front();
      read_beats_ = 0;
    }
  }
  if (s.aw.valid && s.aw.ready) {
    write_lengths_.push_back(s.aw.length);
    ++writes_;
  }
  if (s.ar.valid && s.ar.ready) read_lengths_.push_back(s.ar.length);
  if (writes_ > most_ || read_lengths_.size() > most_) violated("more bursts under way than " + std::to_string(most_));
  if (s.wvalid && s.wready) {
    ++write_beats_;
    if (s.wlast) {
      early_beats_.push_back(write_beats_ - 1);
      write_beats_ = 0;
    }
  }
  // Data may come before its address.
  while (!write_lengths_.empty() && !early_beats_.empty()) {
    if (write_lengths_.front() != early_beats_.front())
      violated("a write burst of another length than its address says");
    write_lengths_.pop_front();
    early_beats_.pop_front();
    ++whole_;
  }
  if (!write_lengths_.empty() && write_beats_ > write_lengths_.front())
    violated("the last beat of a write is not marked");
}

}  // namespace slotwire::sim::axi
