// Frames of every type, good and bad, as tshark shows them with the project's dissector.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "capture_support.hpp"
#include "core/pipeline/frame.hpp"
#include "tools/pcapng.hpp"

namespace {
using namespace slotwire;
using pipeline::Header;
using testing_support::TemporaryDirectory;
using tools::Direction;
using tools::PcapngWriter;

constexpr std::uint16_t kOtherPort = 9999;

std::vector<std::byte> lines(std::size_t count) {
  return std::vector<std::byte>(count * regs::kLineBytes, std::byte{0xee});
}

/// A payload whose first line starts a record.
std::vector<std::byte> lines_with_record(std::size_t count, regs::RecordKind kind, std::uint8_t flags) {
  std::vector<std::byte> payload = lines(count);
  std::fill_n(payload.begin(), regs::kRecordHeaderBytes, std::byte{0});
  payload[regs::kRecLength] = std::byte{100};
  payload[regs::kRecKind] = static_cast<std::byte>(kind);
  payload[regs::kRecFlags] = static_cast<std::byte>(flags);
  payload[regs::kRecId] = std::byte{0x39};
  payload[regs::kRecId + 1] = std::byte{0x05};
  return payload;
}

class captureDissector : public testing::Test {
 protected:
  void SetUp() override {
    if (std::system("command -v tshark >/dev/null 2>&1") != 0) {
      GTEST_SKIP() << "tshark is not installed (apt-get install tshark): the dissector is not tested";
    }
    writer_ = std::make_unique<PcapngWriter>(file(), "slotwire test");
    writer_->add_interface("to-b");
  }

  /// Adds the frame with its right CRC changed by `crc_error`, cut to `keep` bytes.
  void add(Header header, const std::vector<std::byte>& payload, std::uint32_t crc_error = 0,
           std::size_t keep = SIZE_MAX, std::uint16_t port = regs::kUdpPort) {
    std::vector<std::byte> frame(regs::kHeaderBytes + payload.size());
    const auto bytes = std::span(frame).first<regs::kHeaderBytes>();
    pipeline::encode(header, bytes);
    header.crc = pipeline::frame_crc(bytes, payload) ^ crc_error;
    pipeline::encode(header, bytes);
    std::copy(payload.begin(), payload.end(), frame.begin() + regs::kHeaderBytes);
    frame.resize(std::min(keep, frame.size()));
    std::vector<std::byte> packet;
    ASSERT_TRUE(tools::wrap_frame({0x0a000001, 40000}, {0x0a000002, port}, frame, {}, packet));
    ASSERT_FALSE(writer_->write(0, 1'700'000'000'123'456'789 + packets_++, Direction::outbound, packet));
  }

  /// Cuts every packet to `bytes`, as a capture with that snap length would have.
  void cut_packets(std::size_t bytes) {
    ASSERT_FALSE(writer_->flush());
    const std::string cut = file() + ".cut";
    const std::string command = "editcap -s " + std::to_string(bytes) + " '" + file() + "' '" + cut + "' 2>/dev/null";
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
    std::filesystem::rename(cut, file());
  }

  /// What tshark says of the file, a line a packet, the fields parted by '|'.
  std::vector<std::string> shown(const std::vector<std::string>& fields, const std::string& more = "") {
    EXPECT_FALSE(writer_->flush());
    std::string command = "WIRESHARK_CONFIG_DIR='" + directory_.path().string() + "' tshark -n -r '" + file() +
                          "' -X lua_script:'" SLOTWIRE_DISSECTOR "' " + more +
                          " -T fields -E separator='|' -E occurrence=a";
    for (const std::string& field : fields) {
      command += " -e " + field;
    }
    // As root it warns on its error output that Lua runs; a broken script shows there too.
    const std::string errors = (directory_.path() / "errors").string();
    command += " 2>'" + errors + "'";
    const auto close = [](std::FILE* pipe) { return pclose(pipe); };
    std::unique_ptr<std::FILE, decltype(close)> pipe(popen(command.c_str(), "r"), close);
    if (pipe == nullptr) {
      ADD_FAILURE() << "cannot start " << command;
      return {};
    }
    std::string text;
    std::array<char, 4096> piece{};
    while (const std::size_t size = std::fread(piece.data(), 1, piece.size(), pipe.get())) {
      text.append(piece.data(), size);
    }
    EXPECT_EQ(pclose(pipe.release()), 0) << command;
    std::ifstream error_file(errors);
    const std::string error_text{std::istreambuf_iterator<char>(error_file), {}};
    EXPECT_EQ(error_text.find("Lua:"), std::string::npos) << error_text;
    EXPECT_EQ(error_text.find("rror"), std::string::npos) << error_text;
    std::vector<std::string> rows;
    std::istringstream stream(text);
    for (std::string row; std::getline(stream, row);) {
      rows.push_back(row);
    }
    return rows;
  }

 private:
  std::string file() const { return (directory_.path() / "frames.pcapng").string(); }

  TemporaryDirectory directory_;
  std::unique_ptr<PcapngWriter> writer_;
  std::uint64_t packets_ = 0;
};

const Header kHeader{.dst_slot = 7, .src_slot = 3, .epoch = 0x1234, .seq = 10, .ack = 5, .credit = 1024};

Header of_type(regs::FrameType type) {
  Header header = kHeader;
  header.type = type;
  return header;
}

TEST_F(captureDissector, ShowsEveryTypeInTheInfoColumn) {
  add(kHeader, lines(2));
  for (const auto type : {regs::FrameType::ack, regs::FrameType::nak, regs::FrameType::probe, regs::FrameType::reset}) {
    add(of_type(type), {});
  }
  add(kHeader, lines(1), 0x100);
  const std::vector<std::string> expected = {
      "Slotwire|data s3->s7 epoch 0x1234 seq 10 +2 ack 5 credit 1024|1",
      "Slotwire|ack s3->s7 epoch 0x1234 seq 10 ack 5 credit 1024|1",
      "Slotwire|nak s3->s7 epoch 0x1234 seq 10 ack 5 credit 1024|1",
      "Slotwire|probe s3->s7 epoch 0x1234 seq 10 ack 5 credit 1024|1",
      "Slotwire|reset s3->s7 epoch 0x1234 seq 10 ack 5 credit 1024|1",
      "Slotwire|data s3->s7 epoch 0x1234 seq 10 +1 ack 5 credit 1024 [bad CRC]|0",
  };
  EXPECT_EQ(shown({"_ws.col.Protocol", "_ws.col.Info", "slotwire.crc_ok"}), expected);
}

TEST_F(captureDissector, ShowsEveryFieldAndThePacketAroundIt) {
  Header header = of_type(regs::FrameType::nak);
  header.flags = 0x81;
  header.seq = 0xfffffffe;
  header.ack = 0x80000001;
  header.credit = 65535;
  add(header, {});
  EXPECT_EQ(
      shown({"slotwire.version", "slotwire.frame_type", "slotwire.flags", "slotwire.dst_slot", "slotwire.src_slot",
             "slotwire.epoch", "slotwire.seq", "slotwire.ack", "slotwire.credit", "slotwire.lines"}),
      std::vector<std::string>{"1|2|0x81|7|3|0x1234|4294967294|2147483649|65535|0"});
  EXPECT_EQ(shown({"frame.interface_name", "frame.time_epoch", "frame.packet_flags_direction", "ip.src", "ip.dst",
                   "udp.dstport", "ip.checksum.status", "_ws.malformed"},
                  "-o ip.check_checksum:TRUE"),
            std::vector<std::string>{"to-b|1700000000.123456789|0x00000002|10.0.0.1|10.0.0.2|7401|1|"});
}

TEST_F(captureDissector, ShowsHeaderFlags) {
  Header header = of_type(regs::FrameType::ack);
  header.flags = regs::kHdrAnswer;
  add(header, {});
  header.flags = regs::kHdrAsk | 5U << regs::kHdrMarkedShift;
  add(header, {});
  EXPECT_EQ(shown({"_ws.col.Info", "slotwire.flags.ask", "slotwire.flags.answer", "slotwire.flags.marked"}),
            (std::vector<std::string>{"ack s3->s7 epoch 0x1234 seq 10 ack 5 credit 1024 answer|0|1|0",
                                      "ack s3->s7 epoch 0x1234 seq 10 ack 5 credit 1024 ask marked 5|1|0|5"}));
}

TEST_F(captureDissector, FlagsWhatAReceiverWouldDrop) {
  add(kHeader, lines(1));
  add(kHeader, lines(1), 1);
  add(kHeader, {}, 0, 10);
  add(kHeader, lines(2), 0, regs::kHeaderBytes + 65);
  add(of_type(static_cast<regs::FrameType>(9)), {});
  Header header = kHeader;
  header.version = 2;
  add(header, {});
  const std::vector<std::string> expected = {
      "",
      "Wrong CRC",
      "Shorter than the link header",
      "Wrong CRC,Payload is not a whole number of lines",
      "Unknown frame type",
      "Unknown protocol version",
  };
  EXPECT_EQ(shown({"_ws.expert.message"}), expected);
}

TEST_F(captureDissector, ShowsTheLineOfAnEncryptedFrame) {
  // What is the line's key and sequence stands where a frame in the clear has slots, epoch, seq and ack.
  Header header = of_type(regs::FrameType::ack);
  header.version = 14;
  add(header, lines(1));
  add(header, lines(3));
  add(header, {});  // too short to be one
  EXPECT_EQ(shown({"_ws.col.Info", "slotwire.sealed.key", "slotwire.sealed.sequence", "slotwire.crc_ok"}),
            (std::vector<std::string>{
                "encrypted, key 0x00031234 sequence 42949672965|0x00031234|42949672965|",
                "encrypted, key 0x00031234 sequence 42949672965 +2|0x00031234|42949672965|",
                "ack s3->s7 epoch 0x1234 seq 10 ack 5 credit 1024 [version 14]|||1",
            }));
}

TEST_F(captureDissector, SplitsLinesAndShowsARecordWhereOneMayStart) {
  Header header = kHeader;
  header.seq = 0xffffffff;
  add(header, lines_with_record(3, regs::RecordKind::request, regs::kRecordFirst | regs::kRecordLast));
  add(header, lines_with_record(1, regs::RecordKind::end_of_stream, regs::kRecordLast));
  add(header, lines(1));
  add(header, lines_with_record(1, static_cast<regs::RecordKind>(0), 0));
  add(header, lines_with_record(1, regs::RecordKind::message, 0x04));
  const std::vector<std::string> expected = {
      "3|2|100|1337|1|1", "1|7|100|1337|0|1", "1|||||", "1|||||", "1|||||",
  };
  EXPECT_EQ(shown({"slotwire.lines", "slotwire.record.kind", "slotwire.record.length", "slotwire.record.id",
                   "slotwire.record.flags.first", "slotwire.record.flags.last"}),
            expected);
  const auto each_line = shown({"slotwire.line"});
  ASSERT_EQ(each_line.size(), 5U);
  EXPECT_EQ(std::count(each_line[0].begin(), each_line[0].end(), ','), 2) << each_line[0];
}

TEST_F(captureDissector, ShowsWhatIsLeftOfACutPacket) {
  add(kHeader, lines(2));
  cut_packets(42 + regs::kHeaderBytes + regs::kLineBytes + 1);
  EXPECT_EQ(shown({"_ws.col.Info", "slotwire.lines", "slotwire.crc_ok", "slotwire.crc.bad"}),
            std::vector<std::string>{"data s3->s7 epoch 0x1234 seq 10 +2 ack 5 credit 1024 [cut short]|2||"});
  cut_packets(42 + regs::kHeaderBytes - 1);
  EXPECT_EQ(shown({"_ws.col.Info", "slotwire.seq"}), std::vector<std::string>{"[header cut short]|"});
}

TEST_F(captureDissector, TakesThePortFromItsPreference) {
  add(kHeader, {}, 0, SIZE_MAX, kOtherPort);
  add(kHeader, {});
  EXPECT_EQ(shown({"slotwire.seq"}), (std::vector<std::string>{"", "10"}));
  EXPECT_EQ(shown({"slotwire.seq"}, "-o slotwire.port:9999"), (std::vector<std::string>{"10", ""}));
}

}  // namespace
