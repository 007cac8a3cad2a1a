// A carrier made of several carriers for the same links: a link goes over the best one that works, and changes it while
// it lives. docs/protocol.md, "Path frames", has what it asks its peer.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "core/carriers/carrier.hpp"
#include "core/carriers/poller.hpp"

namespace slotwire::carriers {

/// A path frame: 22 bytes, which is the length of a link header. Its first byte is no version of the link header and no
/// sealed frame's.
inline constexpr std::byte kPathForm{0xe2};
inline constexpr std::size_t kPathNonceBytes = 16;
using PathNonce = std::array<std::byte, kPathNonceBytes>;

struct PathFrame {
  enum class Kind : std::uint8_t { ask = 1, answer = 2 };
  Kind kind = Kind::ask;
  PathNonce nonce{};

  std::array<std::byte, regs::kHeaderBytes> encode() const;
  /// None: `frame` is another frame, or a damaged one.
  static std::optional<PathFrame> decode(std::span<const std::byte> frame);
};

/// One carrier of a ladder. The carrier outlives the ladder, which alone polls it and sends by it.
struct Rung {
  std::string name;  ///< for people and the status
  Carrier* carrier = nullptr;
  /// A question without an answer after so long, or after four round trips if that is longer, was lost. Microseconds.
  std::uint64_t patience_us = 300'000;
  /// It is a connection to the peer, which strangers cannot put frames into: one that brings frames works, though an
  /// answer may be late behind them.
  bool connection = false;
  /// Carrier::retransmit_floor_us() of links on this rung. Microseconds.
  std::uint32_t retransmit_floor_us = 0;
};

/// Times are microseconds.
struct LadderOptions {
  std::size_t max_links = 1024;           ///< at most 65535
  std::uint64_t busy_ask_us = 200'000;    ///< between questions on the rung in use, while frames are sent
  std::uint64_t idle_ask_us = 5'000'000;  ///< between questions on a rung that works, else
  std::uint64_t first_ask_us =
      250'000;  ///< between the first questions on a rung that does not work yet; doubled up to
  std::uint64_t last_ask_us = 5'000'000;  ///< this
  unsigned losses = 3;                    ///< questions lost in a row that show that a rung does not work
  unsigned proofs = 3;                    ///< answers in a row before a link moves to a better rung
  unsigned answers_per_second = 200;      ///< to the peer of one link
  /// Fills in random bytes; false when the system has none. Default: OpenSSL's.
  std::function<bool(std::span<std::byte>)> random;
};

/// What is known of one rung of a link.
struct RungStatus {
  bool allowed = false;             ///< the link may take it
  bool up = false;                  ///< its carrier says that frames may flow
  bool works = false;               ///< the peer answered lately
  std::string reason;               ///< why it does not work, for people; empty when it does
  std::uint64_t round_trip_us = 0;  ///< smoothed; 0: never measured
};

struct LadderStatus {
  std::optional<std::size_t> rung;  ///< in use
  std::uint64_t since_us = 0;       ///< when that began, by the clock of poll()
  std::uint64_t changes = 0;        ///< rungs taken since the link was added
  std::vector<RungStatus> rungs;    ///< best first
};

/// A link is up while one of its rungs works in both directions: the peer has answered a question that went over it.
/// It sends over the best one, and takes frames from all. A rung that is better than the one in use is asked again and
/// again; once it has answered `proofs` times in a row the link moves there. One that falls silent is left for the next
/// one that works. Each end decides for what it sends. A link that may take one rung alone, which is a
/// connection, asks nothing, and is up while its carrier says so.
class LadderCarrier final : public Carrier {
 public:
  static constexpr std::size_t kMaxRungs = 8;

  /// `rungs`: best first, 1..kMaxRungs. Throws std::invalid_argument or std::system_error.
  LadderCarrier(std::string name, std::vector<Rung> rungs, LadderOptions options);

  /// Add it here before it is added to the carriers of its rungs. `allowed`: a bit for each rung.
  /// Throws std::invalid_argument.
  void add_link(std::uint16_t link, unsigned allowed);
  /// Forgets the link, after it was removed from the carriers of its rungs. Does nothing when it is not there.
  void remove_link(std::uint16_t link);
  /// The peer takes frames of at most so many lines over that rung.
  void limit_lines(std::uint16_t link, std::size_t rung, std::size_t lines);
  /// The path of that rung is another one now: what is known of it is forgotten.
  void ask_anew(std::uint16_t link, std::size_t rung);
  LadderStatus status(std::uint16_t link) const;
  std::span<const Rung> rungs() const { return rungs_; }

  std::string_view name() const override { return name_; }
  /// Of the rung with the largest frames.
  std::size_t lines_per_frame() const override { return lines_per_frame_; }
  std::size_t lines_per_frame_of(std::uint16_t link) const override;
  std::uint32_t retransmit_floor_us(std::uint16_t link) const override;
  /// Of the rung in use.
  bool needs_congestion_control(std::uint16_t link) const override;
  std::size_t room(std::uint16_t link) const override;
  void send(std::span<const pipeline::TxFrame> frames) override;
  std::size_t poll(std::uint64_t now_us, std::size_t max_frames, FrameSink& sink) override;
  int fd() const override { return poller_.fd(); }
  /// Sums of the rungs', without path frames.
  const CarrierCounters& counters() const override;

 private:
  static constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
  /// Questions of one rung that may wait for their answers at a time.
  static constexpr std::size_t kOutstanding = 8;

  struct Question {
    PathNonce nonce{};
    std::uint64_t asked_us = 0;
    bool waits = false;
  };
  struct Path {
    bool allowed = false, up = false, works = false;
    std::string reason = "not connected yet";
    std::array<Question, kOutstanding> questions{};
    std::size_t next_question = 0;
    unsigned lost = 0, proofs = 0;  ///< in a row
    std::uint64_t asked_us = 0;     ///< when the last question was sent
    std::uint64_t ask_us = 0;       ///< when the next question is due
    std::uint64_t wait_us = 0;      ///< between questions while it does not work
    std::uint64_t round_trip_us = 0;
    std::uint64_t heard_us = 0;  ///< when the last frame came
    std::size_t lines = std::numeric_limits<std::size_t>::max();
  };
  struct Link {
    bool known = false, reported = false;
    bool sole = false;  ///< it may take one connection alone, which is not asked about
    std::string sole_text;
    std::size_t rung = kNone;
    std::uint64_t since_us = 0, changes = 0;
    bool traffic = false;  ///< frames were sent since the last question on the rung in use
    std::uint64_t answers_us = 0;
    unsigned answers = 0;  ///< in the second that began at answers_us
    std::string told;      ///< reason that was reported last while down
    std::array<Path, kMaxRungs> paths;
  };
  /// What the carrier of one rung reports.
  class RungSink final : public FrameSink {
   public:
    void use(LadderCarrier& ladder, std::size_t rung) {
      ladder_ = &ladder;
      rung_ = rung;
    }
    bool on_frame(std::uint16_t link, std::span<const std::byte> frame) override {
      return ladder_->on_frame(rung_, link, frame);
    }
    void on_link(std::uint16_t link, bool up, std::string_view reason) override {
      ladder_->on_link(rung_, link, up, reason);
    }
    void on_marked(std::uint16_t link, std::uint32_t frames) override {
      if (ladder_->known(link) && ladder_->sink_ != nullptr) ladder_->sink_->on_marked(link, frames);
    }

   private:
    LadderCarrier* ladder_ = nullptr;
    std::size_t rung_ = 0;
  };

  bool known(std::uint16_t link) const noexcept { return link < links_.size() && links_[link].known; }
  bool on_frame(std::size_t rung, std::uint16_t link, std::span<const std::byte> frame);
  void on_link(std::size_t rung, std::uint16_t link, bool up, std::string_view reason);
  void take_path_frame(std::size_t rung, std::uint16_t link, const PathFrame& frame);
  bool send_path_frame(std::size_t rung, std::uint16_t link, const PathFrame& frame);
  void ask(std::uint16_t link, std::size_t rung);
  void silent(Path& path, std::uint64_t waited_us);
  std::uint64_t patience(const Path& path, std::size_t rung) const;
  std::uint64_t ask_interval(const Link& link, std::size_t rung) const;
  void tend(std::uint16_t link);
  void choose(std::uint16_t link);
  std::string reasons(const Link& link) const;
  /// The next question is due at `at_us` at the latest.
  void ask_by(Path& path, std::uint64_t at_us) {
    path.ask_us = std::min(path.ask_us, at_us);
    due(path.ask_us);
  }
  void due(std::uint64_t at_us) {
    if (!due_us_ || at_us < *due_us_) due_us_ = at_us;
  }

  std::string name_;
  std::vector<Rung> rungs_;
  LadderOptions options_;
  std::size_t lines_per_frame_ = 0;
  Poller poller_;
  std::vector<Link> links_;
  std::array<RungSink, kMaxRungs> sinks_;
  FrameSink* sink_ = nullptr;  ///< during poll()
  std::uint64_t now_us_ = 0;
  std::size_t delivered_ = 0;            ///< in this poll()
  std::optional<std::uint64_t> due_us_;  ///< when something is due, or earlier
  std::uint64_t path_tx_ = 0, path_rx_ = 0, dropped_ = 0;
  mutable CarrierCounters counters_;
};

}  // namespace slotwire::carriers
