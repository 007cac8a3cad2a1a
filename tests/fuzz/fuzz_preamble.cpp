// Whatever a stranger says on the port of the TCP carrier: the preamble is read in any pieces with the same result, and
// a link comes up for a good one alone. What follows a good one are frames.
//
// An input's first byte: bit 0 talks to a whole carrier and not to the reader alone, bit 1 begins with the good
// preamble. The rest is a row of pieces: two bytes of length, then the piece.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <vector>

#include "core/carriers/preamble.hpp"
#include "core/carriers/tcp.hpp"
#include "input.hpp"

namespace {

using namespace slotwire;
using namespace slotwire::carriers;
using fuzz::require;

constexpr std::size_t kMaxPieces = 16;
constexpr std::size_t kMaxPending = 4;

Preamble good() {
  Preamble preamble{"peer", {}};
  preamble.token.fill(std::byte{0x5a});
  return preamble;
}

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

struct Read {
  PreambleReader::State state = PreambleReader::State::more;
  std::string node;
  std::size_t used = 0;  ///< bytes that the preamble took
  bool operator==(const Read&) const = default;
};

/// Reads `bytes`, at most `piece` at a time.
Read read(std::string_view bytes, std::size_t piece) {
  PreambleReader reader;
  Read result;
  while (result.state == PreambleReader::State::more && result.used < bytes.size()) {
    const auto wanted = reader.wanted();
    require(!wanted.empty());
    const std::size_t count = std::min({wanted.size(), bytes.size() - result.used, piece});
    std::copy_n(std::as_bytes(std::span(bytes)).begin() + static_cast<std::ptrdiff_t>(result.used), count,
                wanted.begin());
    result.used += count;
    result.state = reader.filled(count);
  }
  if (result.state != PreambleReader::State::done) return result;
  result.node = reader.preamble().node;
  require(valid_node_name(result.node));
  // What was read is what would be written.
  require(text_of(encode_preamble(reader.preamble())) == bytes.substr(0, result.used));
  return result;
}

void read_alone(std::string_view bytes) {
  const Read whole = read(bytes, bytes.size() + 1);
  require(whole == read(bytes, 1));
  require(whole == read(bytes, 7));
  if (bytes.size() < kWelcomeBytes) return;
  std::array<std::byte, kWelcomeBytes> welcome{};
  std::copy_n(std::as_bytes(std::span(bytes)).begin(), kWelcomeBytes, welcome.begin());
  const auto status = decode_welcome(welcome);
  require(!status || *status <= Welcome::version);
}

/// A node that "peer" may dial, for the whole run.
class Acceptor final : FrameSink {
 public:
  Acceptor() : carrier_(options()) { carrier_.add_link({0, good().node, false, {}, good().token}); }

  /// One connection that sends `pieces`. Returns whether the link came up.
  bool talk(const std::vector<std::string_view>& pieces) {
    came_up_ = false;
    const Fd stranger(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const linger at_once{1, 0};  // leaves no port waiting
    ::setsockopt(stranger.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    const Address to = carrier_.local_address();
    if (::connect(stranger.get(), to.data(), to.size()) != 0) return false;
    poll();
    for (const std::string_view piece : pieces) {
      if (::send(stranger.get(), piece.data(), piece.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) break;
      poll();
    }
    ::shutdown(stranger.get(), SHUT_WR);
    poll();
    return came_up_;
  }

 private:
  static TcpOptions options() {
    TcpOptions options;
    options.node = "fuzzed";
    options.listen = Address::parse("127.0.0.1:0");
    options.max_pending = kMaxPending;
    options.max_links = 1;
    return options;
  }
  void poll() {
    constexpr std::size_t kFrames = 64;
    // As often as there is something to do, which ends.
    pollfd look{carrier_.fd(), POLLIN, 0};
    for (int turn = 0; ::poll(&look, 1, 0) == 1; ++turn) {
      require(turn < 1000);
      carrier_.poll(++now_us_, kFrames, *this);
    }
  }
  bool on_frame(std::uint16_t link, std::span<const std::byte> frame) override {
    require(link == 0 && came_up_ && frame.size() <= FrameReader::kMaxFrame);
    return true;
  }
  void on_link(std::uint16_t link, bool up, std::string_view /*reason*/) override {
    require(link == 0);
    came_up_ = came_up_ || up;
  }

  TcpCarrier carrier_;
  std::uint64_t now_us_ = 1;
  bool came_up_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::uint8_t how = input.byte();
  if (how % 2 == 0) {
    read_alone(input.rest());
    return 0;
  }
  const std::vector<std::byte> preamble = encode_preamble(good());
  std::vector<std::string_view> pieces;
  if ((how & 2) != 0) pieces.push_back(text_of(preamble));
  for (std::size_t i = 0; i < kMaxPieces && !input.empty(); ++i) pieces.push_back(input.text(4096));
  std::string all;
  for (const std::string_view piece : pieces) all += piece;
  static Acceptor acceptor;
  // A connection that the stranger resets before it was looked at may be lost; none comes up without a right.
  if (acceptor.talk(pieces)) require(all.starts_with(text_of(preamble)));
  return 0;
}
