#include "sim/breaks.hpp"

#include <algorithm>
#include <cstring>

namespace slotwire::sim {
namespace {

using pipeline::Header;
using pipeline::Position;
using regs::FrameType;
using regs::SlotRow;
using regs::SlotState;

bool is_bound(const SlotRow& row) {
  return row.state == static_cast<std::uint8_t>(SlotState::bound);
}

bool has_header(const Bytes& frame) {
  return frame.size() >= regs::kHeaderBytes;
}
Header header_of(const Bytes& frame) {
  return pipeline::decode(std::span<const std::byte>(frame).first<regs::kHeaderBytes>());
}
/// Puts `header` into the frame, with a CRC that is right.
void reseal(Bytes& frame, Header header) {
  const pipeline::HeaderBytes bytes = std::span<std::byte>(frame).first<regs::kHeaderBytes>();
  pipeline::encode(header, bytes);
  header.crc = pipeline::frame_crc(bytes, std::span<const std::byte>(frame).subspan(regs::kHeaderBytes));
  pipeline::encode(header, bytes);
}

struct AckEarly : Tamper {
  bool outgoing(SlotRow& /*row*/, Bytes& frame) override {
    Header header = header_of(frame);
    ++header.ack;
    reseal(frame, header);
    return true;
  }
};

struct DeliverTwice : Tamper {
  void received(SlotRow& row, Position before, const slot::RingView& ring) override {
    if (row.out_tail == before || row.out_tail - row.out_head >= ring.lines()) return;
    std::memcpy(ring.at(row.out_tail), ring.at(row.out_tail - 1), regs::kLineBytes);
    ++row.out_tail;
  }
};

struct IgnoreEpoch : Tamper {
  void incoming(std::span<SlotRow> rows, std::uint16_t /*link*/, Bytes& frame) override {
    if (!has_header(frame)) return;
    Header header = header_of(frame);
    if (header.dst_slot >= rows.size()) return;
    if (header.crc != pipeline::frame_crc(std::span<const std::byte>(frame).first<regs::kHeaderBytes>(),
                                          std::span<const std::byte>(frame).subspan(regs::kHeaderBytes))) {
      return;
    }
    header.epoch = rows[header.dst_slot].epoch;
    reseal(frame, header);
  }
};

struct IgnoreCrc : Tamper {
  void incoming(std::span<SlotRow> /*rows*/, std::uint16_t /*link*/, Bytes& frame) override {
    if (has_header(frame)) reseal(frame, header_of(frame));
  }
};

struct ForgetRetransmission : Tamper {
  bool outgoing(SlotRow& /*row*/, Bytes& frame) override { return header_of(frame).type != FrameType::nak; }
  void before_sweep(std::span<SlotRow> rows) override {
    for (SlotRow& row : rows) row.flags = static_cast<std::uint8_t>(row.flags & ~regs::kRowTxTimer);
  }
};

struct ForgetProbe : Tamper {
  bool outgoing(SlotRow& /*row*/, Bytes& frame) override { return header_of(frame).type != FrameType::probe; }
};

struct ForgetAck : Tamper {
  bool outgoing(SlotRow& /*row*/, Bytes& frame) override { return header_of(frame).type != FrameType::ack; }
};

struct ReleaseBeforeAck : Tamper {
  bool outgoing(SlotRow& row, Bytes& /*frame*/) override {
    if (is_bound(row)) row.in_head = row.sent;
    return true;
  }
};

struct SkipLine : Tamper {
  bool outgoing(SlotRow& /*row*/, Bytes& frame) override {
    if (frame.size() < regs::kHeaderBytes + (2 * regs::kLineBytes)) return true;
    frame.erase(frame.begin() + regs::kHeaderBytes, frame.begin() + regs::kHeaderBytes + regs::kLineBytes);
    reseal(frame, header_of(frame));
    return true;
  }
};

struct CreditTooLarge : Tamper {
  bool outgoing(SlotRow& row, Bytes& frame) override {
    Header header = header_of(frame);
    header.credit = static_cast<std::uint16_t>(header.credit + (1U << row.out_order));
    reseal(frame, header);
    return true;
  }
};

struct LoseMarkOnRestart : Tamper {
  void restart(SlotRow& row) override {
    if (row.out_tail != row.out_head) --row.out_tail;
  }
};

struct TrustSentOnRestart : Tamper {
  void restart(SlotRow& row) override { row.in_head = row.in_tail; }
};

struct PublishEarly : Tamper {
  void publish(pipeline::MarkUpdate& update, const SlotRow& row) override { update.in_head = row.in_tail; }
};

struct ReuseEpoch : Tamper {
  bool reuses_epochs() const override { return true; }
};

template <typename T>
std::unique_ptr<Tamper> make() {
  return std::make_unique<T>();
}

constexpr Break kBreaks[] = {
    {"ack-early", "acknowledges a line more than it has", make<AckEarly>},
    {"deliver-twice", "delivers the last line of a frame twice", make<DeliverTwice>},
    {"skip-line", "leaves the first line of a frame out", make<SkipLine>},
    {"ignore-epoch", "takes frames of another pairing", make<IgnoreEpoch>},
    {"reuse-epoch", "binds a slot again with the epoch that it had", make<ReuseEpoch>},
    {"ignore-crc", "takes damaged frames", make<IgnoreCrc>},
    {"forget-retransmission", "neither asks for what is missing nor sends it again", make<ForgetRetransmission>},
    {"forget-probe", "does not ask whether a closed window has opened", make<ForgetProbe>},
    {"forget-ack", "acknowledges on data only", make<ForgetAck>},
    {"release-before-ack", "releases lines that were sent and not acknowledged", make<ReleaseBeforeAck>},
    {"credit-too-large", "promises twice the room of its ring", make<CreditTooLarge>},
    {"lose-mark-on-restart", "forgets the last line delivered when it restarts", make<LoseMarkOnRestart>},
    {"trust-sent-on-restart", "takes everything for acknowledged when it restarts", make<TrustSentOnRestart>},
    {"publish-early", "tells the process that lines are released which are not", make<PublishEarly>},
};

}  // namespace

std::span<const Break> breaks() {
  return kBreaks;
}

const Break* find_break(std::string_view name) {
  const auto found =
      std::find_if(std::begin(kBreaks), std::end(kBreaks), [&](const Break& b) { return b.name == name; });
  return found == std::end(kBreaks) ? nullptr : &*found;
}

}  // namespace slotwire::sim
