#include "tools/slotwire/tunnel/pipe.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "tools/slotwire/tunnel/tcp.hpp"

namespace slotwire::cli {
namespace {

/// Reads and writes of one direction in one turn, so that one busy connection cannot keep the others waiting.
constexpr int kMovesAtOnce = 8;
/// Room in the ring that is worth a read: with less, a full ring would be filled line by line.
constexpr std::size_t kLeastRead = 4096;

/// Why a slot's connection ended before both directions were ended in good order.
std::string slot_reason(int status) {
  return status == SW_PEER_CLOSED ? "the other end of the tunnel broke off: its log says why"
                                  : std::string("slot: ") + sw_last_error();
}

}  // namespace

Pipe::Pipe(std::uint64_t number, slot::Fd tcp, std::string tcp_peer)
    : number_(number), tcp_(std::move(tcp)), tcp_peer_(std::move(tcp_peer)) {}

void Pipe::set_slot(ConnectionPtr slot) {
  slot_ = std::move(slot);
  sw_peer peer;
  SW_INIT(peer);
  if (sw_connection_peer(slot_.get(), &peer) == SW_OK) {
    slot_peer_ = std::string(peer.name) + "(" + std::to_string(peer.pid) + ")@" + peer.node;
  }
}

void Pipe::open() {
  state_ = State::open;
}

void Pipe::on_tcp(std::uint32_t events) {
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)) != 0) tcp_readable_ = true;
  if ((events & (EPOLLRDHUP | EPOLLHUP)) != 0) tcp_hung_up_ = true;
  if ((events & EPOLLOUT) != 0) tcp_writable_ = true;
  if ((events & EPOLLERR) != 0 && state_ == State::open) {
    if (const int error = socket_error(tcp_.get()); error != 0) abort("tcp: " + std::string(std::strerror(error)));
  }
}

bool Pipe::drive() {
  if (state_ != State::open) return false;
  wants_ = 0;
  // First what has arrived: it is still delivered when the other end turns out to be gone.
  bool more = push();
  if (state_ == State::open) more = pull() || more;
  if (state_ == State::open && slot_told_ && slot_ended_) {
    state_ = State::ended;
    if (reason_.empty()) reason_ = "both ends closed";
  }
  return more && state_ == State::open;
}

/// TCP to slot.
bool Pipe::pull() {
  for (int i = 0; i < kMovesAtOnce && tcp_readable_ && !tcp_ended_; ++i) {
    sw_loan loan;
    SW_INIT(loan);
    const int status = sw_loan_stream(slot_.get(), kLeastRead, &loan);
    if (status == SW_AGAIN) {
      wants_ |= SW_WRITABLE;
      return false;
    }
    if (status != SW_OK) {
      slot_failed(status);
      return false;
    }
    const ssize_t n = ::recv(tcp_.get(), loan.data, loan.length, MSG_DONTWAIT);
    if (n > 0) {
      sw_commit_stream(slot_.get(), static_cast<std::size_t>(n));
      to_slot_ += static_cast<std::uint64_t>(n);
      // A short read emptied the socket: the next bytes are a new edge. Not so when an end of the stream follows.
      if (static_cast<std::size_t>(n) < loan.length && !tcp_hung_up_) tcp_readable_ = false;
      continue;
    }
    const int error = errno;
    sw_abandon(slot_.get());
    if (n == 0) {
      tcp_ended_ = true;
    } else if (error == EAGAIN || error == EWOULDBLOCK) {
      tcp_readable_ = false;
    } else if (error != EINTR) {
      abort("tcp: " + std::string(std::strerror(error)));
      return false;
    }
  }
  if (tcp_ended_ && !slot_told_) end_of_tcp();
  return tcp_readable_ && !tcp_ended_;
}

void Pipe::end_of_tcp() {
  const int status = sw_shutdown(slot_.get());
  if (status == SW_OK) {
    slot_told_ = true;
  } else if (status == SW_AGAIN) {
    wants_ |= SW_WRITABLE;
  } else {
    slot_failed(status);
  }
}

/// Nothing more can be sent to the slot. What arrived from it before is delivered first: push() finds its end.
void Pipe::slot_failed(int status) {
  if (slot_ended_) return abort(slot_reason(status));
  if (tcp_writable_) wants_ |= SW_READABLE;
}

/// Slot to TCP.
bool Pipe::push() {
  for (int i = 0; i < kMovesAtOnce && tcp_writable_ && !slot_ended_; ++i) {
    const void* data = nullptr;
    std::size_t length = 0;
    const int status = sw_peek_stream(slot_.get(), &data, &length);
    if (status == SW_AGAIN) {
      wants_ |= SW_READABLE;
      return false;
    }
    if (status != SW_OK) {
      abort(slot_reason(status));
      return false;
    }
    if (length == 0) {
      ::shutdown(tcp_.get(), SHUT_WR);
      slot_ended_ = true;
      return false;
    }
    const ssize_t n = ::send(tcp_.get(), data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) {
      sw_consume_stream(slot_.get(), static_cast<std::size_t>(n));
      from_slot_ += static_cast<std::uint64_t>(n);
      if (static_cast<std::size_t>(n) < length) tcp_writable_ = false;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      tcp_writable_ = false;
    } else if (errno != EINTR) {
      abort("tcp: " + std::string(std::strerror(errno)));
      return false;
    }
  }
  return tcp_writable_ && !slot_ended_;
}

void Pipe::abort(std::string reason) {
  if (state_ == State::ended) return;
  state_ = State::ended;
  broken_ = true;
  reason_ = std::move(reason);
}

void Pipe::close() {
  if (broken_ && tcp_) reset_on_close(tcp_.get());
  slot_.reset();
  tcp_ = slot::Fd();
}

}  // namespace slotwire::cli
