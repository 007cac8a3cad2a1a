// Slotwire: calls on a direct pair, by slotwire.hpp.
#include "contenders/slotwire_daemon.hpp"
#include "contenders/slotwire_ends.hpp"
#include "registry.hpp"
#include "sides.hpp"

namespace slotwire::bench {
namespace {

class CallEnd {
 public:
  explicit CallEnd(const Setup& setup) : link_(setup), connection_(link_.connection()) {}

  template <typename Take>
  void call(Bytes request, Take take) {
    const Message answer = must(connection_.call(1, request, Deadline::never()), "the call failed");
    take(answer.data());
  }
  template <typename Answer>
  void answer(Answer answer) {
    const Message request = must(connection_.receive(Deadline::never()), "cannot receive");
    must(connection_.reply(request.id(), answer(request.data()), Deadline::never()), "cannot reply");
  }

 private:
  SlotwireLink link_;
  Connection& connection_;
};

}  // namespace

Contender slotwire_calls() {
  return make_contender<CallEnd>("slotwire calls", {.group = Group::slotwire, .start = start_slotwired});
}

}  // namespace slotwire::bench
