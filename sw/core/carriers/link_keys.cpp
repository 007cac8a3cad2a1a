#include "core/carriers/link_keys.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>

namespace slotwire::carriers {
namespace {

/// A big-endian number as this machine has it, and the reverse. In whole words: bytes that are written one by one and
/// read as a word right after make the processor wait.
std::uint32_t turn(std::uint32_t value) noexcept {
  return std::endian::native == std::endian::big ? value : __builtin_bswap32(value);
}
std::uint64_t turn(std::uint64_t value) noexcept {
  return std::endian::native == std::endian::big ? value : __builtin_bswap64(value);
}

template <class T>
void put(std::span<std::byte> out, std::size_t at, T value) noexcept {
  const T turned = turn(value);
  std::memcpy(out.subspan(at, sizeof turned).data(), &turned, sizeof turned);
}

template <class T>
T get(std::span<const std::byte> from, std::size_t at) noexcept {
  T turned = 0;
  std::memcpy(&turned, from.subspan(at, sizeof turned).data(), sizeof turned);
  return turn(turned);
}

/// The nonce of a frame: the salt, its last 8 bytes XOR the number.
Nonce nonce_of(const Nonce& salt, std::uint64_t sequence) noexcept {
  constexpr std::size_t kAt = kNonceBytes - sizeof sequence;
  Nonce nonce = salt;
  put(std::span(nonce), kAt, get<std::uint64_t>(salt, kAt) ^ sequence);
  return nonce;
}

}  // namespace

// --- the replay window ---

bool ReplayWindow::bit(std::uint64_t sequence) const noexcept {
  return (bits_[sequence % kReplayWindow / kWordBits] >> (sequence % kWordBits) & 1U) != 0;
}

ReplayWindow::Seen ReplayWindow::check(std::uint64_t sequence) const noexcept {
  if (sequence >= next_) return Seen::no;
  if (next_ - sequence > kReplayWindow) return Seen::too_old;
  return bit(sequence) ? Seen::yes : Seen::no;
}

void ReplayWindow::mark(std::uint64_t sequence) noexcept {
  if (sequence >= next_) {
    if (sequence - next_ >= kReplayWindow) {
      bits_.fill(0);
    } else {
      for (std::uint64_t missing = next_; missing < sequence; ++missing) {
        bits_[missing % kReplayWindow / kWordBits] &= ~(std::uint64_t{1} << (missing % kWordBits));
      }
    }
    next_ = sequence + 1;
  }
  bits_[sequence % kReplayWindow / kWordBits] |= std::uint64_t{1} << (sequence % kWordBits);
}

// --- keys ---

LinkKeys::LinkKeys(const Options& options) : options_(options) {
  if (options.suite == CipherSuite::none) throw std::invalid_argument("keys of a link that is not encrypted");
  if (options.max_frames < 1 || options.max_frames > kMaxFramesPerKey || options.rekey_frames < 1 ||
      options.rekey_frames > options.max_frames) {
    throw std::invalid_argument("frames under one key: 1 to " + std::to_string(kMaxFramesPerKey));
  }
  std::array<std::byte, sizeof next_id_> random{};
  // A restarted proxy shall not come back to the ids of its last life: people could not tell the keys apart.
  if (!random_bytes(random)) throw std::runtime_error("the system has no random bytes for keys");
  next_id_ = get<std::uint32_t>(random, 0);
}

std::unique_ptr<FrameCipher> LinkKeys::make_cipher(const KeyMaterial& key, FrameCipher::Use use) {
  return library().make(key.suite, key.key(), use, kSealedTagAt);
}

void LinkKeys::restart() noexcept {
  offered_.reset();
  waiting_.reset();
  offer_anew_ = take_anew_ = true;
}

bool LinkKeys::due(std::uint64_t now_us) noexcept {
  if (offered_) return false;
  if (offer_anew_) return true;
  if (next_ == 0) return false;
  if (!first_us_) first_us_ = now_us;
  return next_ >= options_.rekey_frames || now_us - *first_us_ >= options_.rekey_us;
}

std::optional<KeyMaterial> LinkKeys::offer() {
  KeyMaterial key;
  key.id = next_id_;
  key.suite = options_.suite;
  if (!random_bytes(key.secret) || !random_bytes(key.salt)) return std::nullopt;
  ++next_id_;
  offer_anew_ = false;
  offered_ = key;
  return key;
}

bool LinkKeys::taken(std::uint32_t id) noexcept {
  if (!offered_ || offered_->id != id) return false;
  std::unique_ptr<FrameCipher> cipher = make_cipher(*offered_, FrameCipher::Use::seal);
  if (!cipher) return false;
  tx_ = *offered_;
  wipe(tx_.secret);
  offered_.reset();
  seal_ = std::move(cipher);
  next_ = 0;
  first_us_.reset();
  ++counters_.tx_keys;
  return true;
}

bool LinkKeys::install(const KeyMaterial& key) {
  RxKey made;
  made.id = key.id;
  made.salt = key.salt;
  made.cipher = make_cipher(key, FrameCipher::Use::open);
  if (!made.cipher) return false;
  // Two keys of one id, of two lives of the peer: the new one is meant.
  if (newer_.cipher && newer_.id != key.id) older_ = std::move(newer_);
  if (older_.cipher && older_.id == key.id) older_ = {};
  newer_ = std::move(made);
  newer_was_last_ = false;
  ++counters_.rx_keys;
  return true;
}

LinkKeys::Take LinkKeys::take(const KeyMaterial& offered, std::uint64_t now_us) {
  if (offered.suite != options_.suite || waiting_) return Take::refused;
  if (std::exchange(take_anew_, false)) {
    // The peer may go on with either key until it knows that the new one was taken: more likely the one it used last.
    if (older_.cipher && !newer_was_last_) {
      newer_ = std::move(older_);
      older_ = {};
    }
  } else if (older_.cipher && !may_drop_older(now_us)) {
    waiting_ = offered;
    waiting_since_us_ = now_us;
    return Take::later;
  }
  return install(offered) ? Take::taken : Take::refused;
}

bool LinkKeys::may_drop_older(std::uint64_t now_us) const noexcept {
  return newer_.opened >= kOverlapFrames || (newer_.since_us && now_us - *newer_.since_us >= kOverlapUs) ||
         (waiting_ && now_us - waiting_since_us_ >= kOverlapUs);
}

std::optional<std::uint32_t> LinkKeys::settled(std::uint64_t now_us) {
  if (newer_.opened != 0 && !newer_.since_us) newer_.since_us = now_us;
  if (older_.cipher && may_drop_older(now_us)) older_ = {};
  if (!waiting_ || older_.cipher) return std::nullopt;
  const KeyMaterial key = *waiting_;
  waiting_.reset();
  if (!install(key)) return std::nullopt;
  return key.id;
}

// --- frames ---

bool LinkKeys::seal(const pipeline::TxFrame& frame, std::span<std::byte> out) noexcept {
  const std::size_t bytes = sizeof frame.header + frame.payload.size();
  if (!ready() || out.size() != kSealedLineBytes + bytes) {
    ++counters_.not_sealed;
    return false;
  }
  const std::uint64_t sequence = next_++;  // never given back, whatever becomes of the frame
  if (next_ == options_.rekey_frames || next_ == options_.max_frames) look_ = true;
  const auto line = out.first<kSealedLineBytes>();
  std::fill(line.begin(), line.end(), std::byte{0});
  line[0] = kSealedForm;
  put(line, kSealedKeyAt, tx_.id);
  put(line, kSealedSequenceAt, sequence);
  const bool good =
      seal_->seal(nonce_of(tx_.salt, sequence), line.first(kSealedTagAt), {std::span(frame.header), frame.payload},
                  out.subspan(kSealedLineBytes), line.subspan<kSealedTagAt, kTagBytes>());
  ++(good ? counters_.sealed : counters_.not_sealed);
  return good;
}

Opened LinkKeys::try_open(std::span<const std::byte> datagram, std::span<std::byte> out) noexcept {
  if (datagram.empty()) return Opened::too_short;
  if (datagram[0] != kSealedForm) return Opened::clear;
  if (datagram.size() < kSealedLineBytes + regs::kHeaderBytes) return Opened::too_short;
  const auto id = get<std::uint32_t>(datagram, kSealedKeyAt);
  const auto sequence = get<std::uint64_t>(datagram, kSealedSequenceAt);
  RxKey* key = nullptr;
  if (newer_.cipher && newer_.id == id) {
    key = &newer_;
  } else if (older_.cipher && older_.id == id) {
    key = &older_;
  }
  if (key == nullptr) return Opened::no_key;
  switch (key->window.check(sequence)) {
    case ReplayWindow::Seen::yes:
      return Opened::replayed;
    case ReplayWindow::Seen::too_old:
      return Opened::too_old;
    case ReplayWindow::Seen::no:
      break;
  }
  const auto sealed = datagram.subspan(kSealedLineBytes);
  if (!key->cipher->open(nonce_of(key->salt, sequence), datagram.first(kSealedTagAt), sealed,
                         datagram.subspan<kSealedTagAt, kTagBytes>(), out.first(sealed.size()))) {
    return Opened::forged;
  }
  key->window.mark(sequence);
  newer_was_last_ = key == &newer_;
  if (++key->opened == kOverlapFrames || key->opened == 1) look_ = true;
  return Opened::opened;
}

Opened LinkKeys::open(std::span<const std::byte> datagram, std::span<std::byte> out,
                      std::span<const std::byte>& frame) noexcept {
  const Opened result = out.size() < datagram.size() ? Opened::too_short : try_open(datagram, out);
  switch (result) {
    case Opened::opened:
      frame = out.first(datagram.size() - kSealedLineBytes);
      ++counters_.opened;
      break;
    case Opened::too_short:
      ++counters_.too_short;
      break;
    case Opened::clear:
      ++counters_.clear;
      break;
    case Opened::no_key:
      ++counters_.no_key;
      break;
    case Opened::too_old:
      ++counters_.too_old;
      break;
    case Opened::replayed:
      ++counters_.replayed;
      break;
    case Opened::forged:
      ++counters_.forged;
      break;
  }
  return result;
}

}  // namespace slotwire::carriers
