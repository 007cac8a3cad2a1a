#include "web/bridge/spool.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "web/http/head.hpp"
#include "web/http/text.hpp"

namespace slotwire::web::bridge {
namespace {

/// Read from a file at one time.
constexpr std::size_t kPieceBytes = std::size_t{64} << 10U;

}  // namespace

SpooledBody::SpooledBody(slot::Fd file, std::shared_ptr<std::uint64_t> total)
    : file_(std::move(file)), total_(std::move(total)) {}

SpooledBody::~SpooledBody() {
  *total_ -= size_;
}

bool SpooledBody::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(size_));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    size_ += static_cast<std::uint64_t>(n);
    *total_ += static_cast<std::uint64_t>(n);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

Result<std::span<const std::byte>> SpooledBody::peek() {
  if (piece_at_ == piece_.size() && read_ < size_) {
    piece_.resize(std::min<std::uint64_t>(kPieceBytes, size_ - read_));
    piece_at_ = 0;
    const ssize_t n = ::pread(file_.get(), piece_.data(), piece_.size(), static_cast<off_t>(read_));
    const int error = errno;
    piece_.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    if (n <= 0) return Error{Status::broken, n == 0 ? "the file was cut short" : std::strerror(error), 0};
    read_ += static_cast<std::uint64_t>(n);
  }
  return std::span<const std::byte>(piece_).subspan(piece_at_);
}

void SpooledBody::consume(std::size_t bytes) {
  piece_at_ += std::min(bytes, piece_.size() - piece_at_);
}

Spools::Spools(Loop& loop, SpoolOptions options, Note note)
    : loop_(loop), options_(std::move(options)), note_(std::move(note)) {}

slot::Fd Spools::open_file() const {
  return slot::Fd(::open(options_.directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600));
}

void Spools::take(const ExchangePtr& exchange, Done done) {
  slot::Fd file = open_file();
  if (!file) {
    note_("a request in chunks cannot be kept in " + options_.directory + " (--spool-dir): " + std::strerror(errno));
    exchange->refuse();
    return;
  }
  const Place place = filling_.insert(
      filling_.end(), {exchange, std::make_shared<SpooledBody>(std::move(file), total_), std::move(done)});
  exchange->on_abort([this, place](Abort) { filling_.erase(place); });
  exchange->on_body([this, place] { fill(place); });
}

void Spools::fill(Place place) {
  constexpr int kPiecesAtOnce = 16;
  const ExchangePtr exchange = place->exchange;
  for (int i = 0; i < kPiecesAtOnce; ++i) {
    const Result<std::span<const std::byte>> bytes = exchange->peek_body();
    if (!bytes) return;  // more comes, or the exchange is over and says so itself
    if (bytes->empty()) {
      const std::shared_ptr<SpooledBody> body = place->body;
      const Done done = std::move(place->done);
      drop(place);
      return done(exchange, body);
    }
    const std::size_t taken = bytes->size();
    if (!add(*place, *bytes)) {
      drop(place);
      return;
    }
    exchange->consume_body(taken);
  }
  // The next turn: others have theirs. The place may be gone by then.
  loop_.next_turn([this, which = std::weak_ptr<SpooledBody>(place->body)] {
    const auto body = which.lock();
    const auto found =
        std::find_if(filling_.begin(), filling_.end(), [&](const Filling& one) { return one.body == body; });
    if (body != nullptr && found != filling_.end()) fill(found);
  });
}

bool Spools::add(const Filling& filling, std::span<const std::byte> bytes) {
  Exchange& exchange = *filling.exchange;
  const std::string what = std::string(exchange.method()) + " " + std::string(exchange.target());
  if (filling.body->size() + bytes.size() > options_.max_body) {
    note_("a request in chunks is longer than --max-spool: " + what);
    exchange.respond(http::kContentTooLarge, {{"content-type", "text/plain"}}, "the body is longer than is kept\n");
    return false;
  }
  if (*total_ + bytes.size() > options_.max_total) {
    note_("requests in chunks fill --max-spool-total, so one is refused: " + what);
    exchange.refuse();
    return false;
  }
  if (filling.body->append(bytes)) return true;
  note_("a request in chunks cannot be kept in " + options_.directory + " (--spool-dir): " + std::strerror(errno));
  exchange.refuse();
  return false;
}

void Spools::drop(Place place) {
  const ExchangePtr exchange = place->exchange;
  filling_.erase(place);
  if (!exchange->is_over()) {
    exchange->on_body({});
    exchange->on_abort({});
  }
}

}  // namespace slotwire::web::bridge
