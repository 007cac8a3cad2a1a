// Slotwire: one-way messages on a direct pair, by slotwire.hpp. Loans are rooms in the ring; a message that is longer
// than the ring, or a loan that does not fit, is sent in parts by send().
#include "contenders/slotwire_daemon.hpp"
#include "contenders/slotwire_ends.hpp"
#include "registry.hpp"
#include "sides.hpp"

namespace slotwire::bench {
namespace {

class MessageEnd {
 public:
  explicit MessageEnd(const Setup& setup) : link_(setup), connection_(link_.connection()) {}

  void send(Bytes message) { must(connection_.send(message, Deadline::never()), "cannot send"); }
  template <typename Take>
  void receive(Take take) {
    const Message message = must(connection_.receive(Deadline::never()), "cannot receive");
    take(message.data());
  }
  void send_batch(Bytes all, std::size_t size) {
    batch_.clear();
    for (std::size_t at = 0; at < all.size(); at += size) batch_.emplace_back(all.subspan(at, size));
    for (std::size_t sent = 0; sent < batch_.size();) {
      const Result<std::size_t> done = connection_.send_batch(std::span(batch_).subspan(sent));
      if (!done && done.status() == Status::again) {
        must(connection_.wait(Interest::writable, Deadline::never()), "no room");
        continue;
      }
      if (!done) throw std::runtime_error("cannot send: " + done.error().text);
      sent += *done;
    }
  }
  template <typename Take>
  void receive_some(Take take) {
    while (true) {
      const Result<std::size_t> received = connection_.receive_batch(received_);
      if (!received && received.status() == Status::again) {
        must(connection_.wait(Interest::readable, Deadline::never()), "nothing comes");
        continue;
      }
      if (!received) throw std::runtime_error("cannot receive: " + received.error().text);
      for (std::size_t i = 0; i < *received; ++i) take(received_[i].data());
      connection_.release(std::span(received_).first(*received));
      return;
    }
  }
  template <typename Fill>
  void send_loan(std::size_t size, Fill fill) {
    while (true) {
      Result<Loan> loan = connection_.loan(size);
      if (!loan && loan.status() == Status::again) {
        must(connection_.wait(Interest::writable, Deadline::never()), "no room");
        continue;
      }
      Loan room = must(std::move(loan), "no loan");
      fill(room.data());
      must(room.commit(size), "cannot commit");
      return;
    }
  }

 private:
  SlotwireLink link_;
  Connection& connection_;
  std::vector<Data> batch_;
  std::array<Message, Connection::kBatch> received_;
};

}  // namespace

Contender slotwire_messages() {
  return make_contender<MessageEnd>("slotwire", {.group = Group::slotwire, .start = start_slotwired});
}

}  // namespace slotwire::bench
