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
};

}  // namespace

Contender slotwire_messages() {
  return make_contender<MessageEnd>("slotwire", {.group = Group::slotwire, .start = start_slotwired});
}

}  // namespace slotwire::bench
