// The test vectors of docs/protocol.md against the pipeline.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "pipeline_support.hpp"

namespace {
using namespace slotwire;
using namespace slotwire::testing;
using nlohmann::json;
using pipeline::Pipeline;

std::string text_of(const std::string& path) {
  std::ifstream file(std::string(SLOTWIRE_SOURCE) + "/" + path);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_FALSE(text.str().empty()) << path << " cannot be read";
  return text.str();
}

Bytes from_hex(const std::string& hex) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

std::string to_hex(std::span<const std::byte> bytes) {
  std::string hex;
  for (const std::byte byte : bytes) {
    hex += "0123456789abcdef"[static_cast<unsigned>(byte) >> 4];
    hex += "0123456789abcdef"[static_cast<unsigned>(byte) & 15];
  }
  return hex;
}

void fill_line_of(std::byte* line, Position at) {
  std::fill_n(line, regs::kLineBytes, static_cast<std::byte>(at & 0xff));
}

constexpr std::uint16_t kSlot = 1, kPeer = 2, kEpoch = 0x5a17;
constexpr unsigned kOrder = 4;
constexpr Position kIn = 0xffff'fffc, kOut = 0x100;

/// One exchange: slot 1 as the page describes it.
class Exchange {
 public:
  explicit Exchange(std::uint32_t credit)
      : rows_(4), in_(regs::kLineBytes << kOrder), out_(in_), pipe_(std::in_place, rows_, 1) {
    pipe_->set_link(0, kLink);
    pipe_->bind(kSlot,
                {.link = 0,
                 .peer_slot = kPeer,
                 .epoch = kEpoch,
                 .in_order = kOrder,
                 .out_order = kOrder,
                 .credit = credit,
                 .marks = {kIn, kIn, kOut, kOut}},
                memory(), now_);
    pipe_->link_up(0, now_);
    drain();
    row_ = fields();
  }

  void run(const json& step) {
    const Position before = rows_[kSlot].out_tail;
    if (step.contains("doorbell")) {
      in_tail_ = step["doorbell"]["in_tail"];
      out_head_ = step["doorbell"]["out_head"];
      for (Position p = kIn; p != kIn + 16; ++p) fill_line_of(memory().in.at(p), p);
      pipe_->doorbell(kSlot, in_tail_, out_head_, now_);
    } else if (step.contains("receive")) {
      pipe_->receive(0, from_hex(step["receive"]), now_);
    } else if (step.contains("tick_us")) {
      now_ += step["tick_us"].get<Microseconds>();
      pipe_->sweep(now_, 100);
    } else if (step.contains("link")) {
      if (step["link"] == "up") {
        pipe_->link_up(0, now_);
      } else {
        pipe_->link_down(0);
      }
    } else {
      ASSERT_TRUE(step.contains("restart"));
      pipe_.emplace(rows_, 1);
      pipe_->set_link(0, kLink);
      pipe_->recover(kSlot, memory(), in_tail_, out_head_, now_);
      pipe_->link_up(0, now_);
    }
    EXPECT_EQ(drain(), step["frames"].get<std::vector<std::string>>());
    for (const auto& [name, value] : step["row"].items()) row_[name] = value;
    std::map<std::string, std::uint32_t> actual = fields();
    // Deadlines are compared where the step names them.
    for (const char* name : {"tx_deadline", "ack_deadline"}) {
      if (!step["row"].contains(name)) row_[name] = actual[name];
    }
    EXPECT_EQ(actual, row_);
    for (Position p = before; p != rows_[kSlot].out_tail; ++p) {
      Bytes expected(regs::kLineBytes);
      fill_line_of(expected.data(), p);
      EXPECT_EQ(std::memcmp(memory().out.at(p), expected.data(), regs::kLineBytes), 0) << "line " << p;
    }
  }

 private:
  static constexpr pipeline::LinkParameters kLink{
      .lines_per_frame = 4, .retransmit_us = 10'000, .retransmit_max_us = 40'000, .ack_delay_us = 1'000};
  pipeline::SlotMemory memory() { return {{in_.data(), kOrder, false}, {out_.data(), kOrder, false}}; }
  std::vector<std::string> drain() {
    std::vector<std::string> frames;
    pipeline::TxFrame out;
    while (pipe_->transmit({&out, 1}, now_) == 1) frames.push_back(to_hex(out.header) + to_hex(out.payload));
    return frames;
  }
  std::map<std::string, std::uint32_t> fields() const {
    const regs::SlotRow& r = rows_[kSlot];
    return {{"state", r.state},
            {"fault", r.fault},
            {"flags", r.flags},
            {"backoff", r.backoff},
            {"in_tail", r.in_tail},
            {"sent", r.sent},
            {"in_head", r.in_head},
            {"limit", r.limit},
            {"out_tail", r.out_tail},
            {"out_head", r.out_head},
            {"told_ack", r.told_ack},
            {"told_limit", r.told_limit},
            {"tx_deadline", r.tx_deadline},
            {"ack_deadline", r.ack_deadline}};
  }

  std::vector<regs::SlotRow> rows_;
  Bytes in_, out_;
  Microseconds now_ = 0;
  Position in_tail_ = kIn, out_head_ = kOut;
  std::optional<Pipeline> pipe_;
  std::map<std::string, std::uint32_t> row_;
};

TEST(Vectors, FramesAreEncodedAndDecodedAsWritten) {
  const json frames = json::parse(text_of("tests/vectors/frames.json"));
  ASSERT_GE(frames.size(), 5U);
  for (const json& frame : frames) {
    const json& f = frame["fields"];
    const Bytes bytes = from_hex(frame["hex"]);
    const Header header = header_of(bytes);
    EXPECT_EQ(regs::name(header.type), f["type"].get<std::string>()) << frame["name"];
    EXPECT_EQ(header.version, f["version"].get<unsigned>());
    EXPECT_EQ(header.flags, f["flags"].get<unsigned>());
    EXPECT_EQ(header.dst_slot, f["dst_slot"].get<unsigned>());
    EXPECT_EQ(header.src_slot, f["src_slot"].get<unsigned>());
    EXPECT_EQ(header.epoch, f["epoch"].get<unsigned>());
    EXPECT_EQ(header.seq, f["seq"].get<std::uint32_t>());
    EXPECT_EQ(header.ack, f["ack"].get<std::uint32_t>());
    EXPECT_EQ(header.credit, f["credit"].get<unsigned>());
    EXPECT_EQ(lines_of(bytes), f["type"] == "data" ? frame["payload_lines"].get<std::size_t>() : 0);
    EXPECT_EQ(make_frame(header, std::span(bytes).subspan(regs::kHeaderBytes)), bytes) << frame["name"];
  }
}

TEST(Vectors, ThePipelineDoesWhatTheExchangesSay) {
  const json exchanges = json::parse(text_of("tests/vectors/exchanges.json"))["exchanges"];
  ASSERT_GE(exchanges.size(), 10U);
  for (const json& exchange : exchanges) {
    SCOPED_TRACE(exchange["name"].get<std::string>());
    Exchange run(exchange["credit"].get<std::uint32_t>());
    std::size_t number = 0;
    for (const json& step : exchange["steps"]) {
      SCOPED_TRACE("step " + std::to_string(++number));
      run.run(step);
    }
  }
}

TEST(Vectors, ThePageShowsTheSameFrames) {
  const std::string page = text_of("docs/protocol.md");
  std::size_t frames = 0;
  const auto expect_shown = [&](const std::string& hex) {
    ++frames;
    EXPECT_NE(page.find(hex.substr(0, 2 * regs::kHeaderBytes)), std::string::npos) << hex;
  };
  const json all_frames = json::parse(text_of("tests/vectors/frames.json"));
  const json exchanges = json::parse(text_of("tests/vectors/exchanges.json"));
  for (const json& frame : all_frames) expect_shown(frame["hex"]);
  for (const json& exchange : exchanges["exchanges"]) {
    EXPECT_NE(page.find(exchange["text"].get<std::string>()), std::string::npos) << exchange["name"];
    for (const json& step : exchange["steps"]) {
      if (step.contains("receive")) expect_shown(step["receive"]);
      for (const json& frame : step["frames"]) expect_shown(frame);
    }
  }
  EXPECT_GT(frames, 40U);
}

}  // namespace
