// The keys of one encrypted link, and frames under them: docs/protocol.md, "Encrypted frames". A state machine without
// sockets or a clock of its own.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "core/carriers/frame_cipher.hpp"
#include "core/pipeline/frame.hpp"

namespace slotwire::carriers {

/// The line before an encrypted frame. Big-endian; what is not named is sent as 0.
inline constexpr std::size_t kSealedLineBytes = regs::kLineBytes;
inline constexpr std::byte kSealedForm{0xe1};  ///< first byte; the high four bits are no version of the link header
inline constexpr std::size_t kSealedKeyAt = 4, kSealedSequenceAt = 8, kSealedTagAt = kSealedLineBytes - kTagBytes;
static_assert(static_cast<unsigned>(kSealedForm) >> 4U != regs::kVersion);

/// Frames that one key seals at most, whatever the configuration says: up to it what AES-GCM gives away, that blocks of
/// a counter never repeat, tells sealed frames from noise with a chance of about 2^-52 (1500 bytes a frame; 2^-41 with
/// 64 KiB). Only reached when the peer cannot be told a new key for so long.
inline constexpr std::uint64_t kMaxFramesPerKey = std::uint64_t{1} << 32U;
/// How far behind the latest frame of a key another one may be. The protocol goes back for a frame that is late, so a
/// frame further behind is of no use any more.
inline constexpr std::uint64_t kReplayWindow = 1024;
/// The key before the latest goes when so many frames came under the latest, or so long after the first of them: what
/// was sealed under it has arrived by then, or never will.
inline constexpr std::uint64_t kOverlapFrames = 256, kOverlapUs = 1'000'000;

/// Ciphers that one link has at most, while keys change: two that seal and three that open.
inline constexpr std::size_t kMaxCiphersPerLink = 5;

/// What seals the frames of one direction. Wiped when it goes.
struct KeyMaterial {
  std::uint32_t id = 0;
  CipherSuite suite = CipherSuite::none;
  std::array<std::byte, kMaxKeyBytes> secret{};  ///< the first suite_key_bytes(suite) of it
  Nonce salt{};

  std::span<const std::byte> key() const { return std::span(secret).first(suite_key_bytes(suite)); }
  KeyMaterial() = default;
  KeyMaterial(const KeyMaterial&) = default;
  KeyMaterial& operator=(const KeyMaterial&) = default;
  ~KeyMaterial() {
    wipe(secret);
    wipe(salt);
  }
};

/// Which of a key's numbers came already. Numbers from 0.
class ReplayWindow {
 public:
  enum class Seen : std::uint8_t { no, yes, too_old };
  Seen check(std::uint64_t sequence) const noexcept;
  /// Of one that check() said no to, and whose frame is genuine.
  void mark(std::uint64_t sequence) noexcept;

 private:
  static constexpr std::size_t kWordBits = 64;
  bool bit(std::uint64_t sequence) const noexcept;
  std::uint64_t next_ = 0;  ///< one above the highest that came
  std::array<std::uint64_t, kReplayWindow / kWordBits> bits_{};
};

/// What became of a datagram of the link.
enum class Opened : std::uint8_t {
  opened,
  too_short,  ///< no room for the line and a link header
  clear,      ///< not an encrypted frame
  no_key,     ///< under a key that is not held (any more, or yet)
  too_old,    ///< behind the replay window
  replayed,   ///< came before
  forged      ///< the tag is wrong: altered, or sealed by somebody else
};

/// Since the start of the link. Every datagram that comes counts once.
struct LinkKeyCounters {
  std::uint64_t sealed = 0, not_sealed = 0;  ///< not_sealed: the key is used up, or the library failed
  std::uint64_t opened = 0, too_short = 0, clear = 0, no_key = 0, too_old = 0, replayed = 0, forged = 0;
  std::uint64_t tx_keys = 0, rx_keys = 0;  ///< keys that were taken into use
};

/// One thread. Times are microseconds of one clock of the caller's.
///
/// Each end draws the keys that it seals with. It offers one to its peer (offer()), goes on with the one it has, and
/// changes over when the peer says that it has taken it (taken()). The peer's keys come through take(). Both for each
/// new control connection (restart()) and when a key has served long enough (due()).
class LinkKeys {
 public:
  struct Options {
    CipherSuite suite = CipherSuite::aes_256_gcm;
    std::uint64_t rekey_frames = std::uint64_t{1} << 24U;  ///< a new key is due after so many, 1 to `max_frames`
    std::uint64_t rekey_us = 3'600'000'000;                ///< or so long after its first frame
    std::uint64_t max_frames = kMaxFramesPerKey;           ///< frames that a key seals at most
    CipherLibrary* library = nullptr;                      ///< outlives this; null: OpenSSL
  };
  explicit LinkKeys(const Options& options);

  CipherSuite suite() const noexcept { return options_.suite; }
  CipherLibrary& library() const { return options_.library == nullptr ? openssl_ciphers() : *options_.library; }

  // --- what is said over the control connection ---

  /// A control connection was made anew: what was offered or left unanswered over an earlier one is void. Offer a key.
  void restart() noexcept;
  /// A key should be offered now. Never while one is on offer.
  bool due(std::uint64_t now_us) noexcept;
  /// The next key, drawn at random; none when the system has no random bytes. Secrets for the peer's eyes only.
  std::optional<KeyMaterial> offer();
  /// The peer holds the key `id` and frames are sealed under it from now on. False: it was not on offer.
  bool taken(std::uint32_t id) noexcept;

  enum class Take : std::uint8_t {
    taken,   ///< tell the peer
    later,   ///< frames under the keys before may still come: ask settled() from time to time
    refused  ///< another suite, or a key already waits: the peer breaks the rules
  };
  /// The peer offers a key.
  Take take(const KeyMaterial& offered, std::uint64_t now_us);
  /// Lets go of a key that has served its time; the id of one that was to be taken later, once it is.
  std::optional<std::uint32_t> settled(std::uint64_t now_us);

  // --- frames ---

  /// Frames can be sealed.
  bool ready() const noexcept { return seal_ != nullptr && next_ < options_.max_frames; }
  /// There was a key once.
  bool used_up() const noexcept { return seal_ != nullptr && next_ >= options_.max_frames; }
  /// Line and encrypted frame into `out`, which has kSealedLineBytes more than the frame. False: it must not be sent.
  bool seal(const pipeline::TxFrame& frame, std::span<std::byte> out) noexcept;
  /// What was sealed into `out`, which has at least the datagram's length; `frame` is where it lies there.
  Opened open(std::span<const std::byte> datagram, std::span<std::byte> out,
              std::span<const std::byte>& frame) noexcept;
  /// due() or settled() may have become true by frames since the last call.
  bool look() noexcept { return std::exchange(look_, false); }

  const LinkKeyCounters& counters() const noexcept { return counters_; }
  std::uint32_t tx_key() const noexcept { return tx_.id; }
  std::uint64_t tx_frames() const noexcept { return next_; }  ///< sealed under tx_key()

 private:
  struct RxKey {
    std::uint32_t id = 0;
    Nonce salt{};
    std::unique_ptr<FrameCipher> cipher;  ///< none: no key
    ReplayWindow window;
    std::uint64_t opened = 0;
    std::optional<std::uint64_t> since_us;  ///< about when the first frame came
  };
  bool may_drop_older(std::uint64_t now_us) const noexcept;
  bool install(const KeyMaterial& key);
  std::unique_ptr<FrameCipher> make_cipher(const KeyMaterial& key, FrameCipher::Use use);
  Opened try_open(std::span<const std::byte> datagram, std::span<std::byte> out) noexcept;

  Options options_;
  // Sending: `tx_` is the key of `seal_`, without its secret.
  KeyMaterial tx_;
  std::unique_ptr<FrameCipher> seal_;
  std::uint64_t next_ = 0;                 ///< next number under it
  std::optional<std::uint64_t> first_us_;  ///< about when the first frame was sealed
  std::optional<KeyMaterial> offered_;
  bool offer_anew_ = false;  ///< the control connection is new
  std::uint32_t next_id_;
  // Receiving.
  RxKey newer_, older_;
  bool newer_was_last_ = true;  ///< the last frame came under `newer_`
  bool take_anew_ = true;       ///< the next key is the first over its connection
  std::optional<KeyMaterial> waiting_;
  std::uint64_t waiting_since_us_ = 0;
  bool look_ = false;
  LinkKeyCounters counters_;
};

}  // namespace slotwire::carriers
