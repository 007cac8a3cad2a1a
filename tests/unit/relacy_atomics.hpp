// The memory model of C++ for templates over atomics, searched by relacy: a load may return any value that the model
// allows, and plain data that two threads touch without an order between them is a fault.
//
// Included after every other header: relacy has macros for names of the language, which end here.
#pragma once
#include <atomic>
#include <cstdint>
#include <ostream>
#include <streambuf>
#include <string>

#include <relacy/base.hpp>
#include <relacy/thread_local_ctx.hpp>
// After the two that it needs and does not name.
#include <relacy/context_base.hpp>

namespace rl {
/// relacy replaces new and delete of the whole program, and takes memory of its own while it runs a search; what is
/// allocated on one side of that and freed on the other crashes. So for these it never runs.
inline bool never_in_context() {
  return false;
}
}  // namespace rl
#define is_ctx never_in_context
#include <relacy/relacy.hpp>
#undef is_ctx
#undef memory_order_relaxed
#undef memory_order_consume
#undef memory_order_acquire
#undef memory_order_release
#undef memory_order_acq_rel
#undef memory_order_seq_cst
#undef new
#undef delete
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef assert
#undef errno
#undef $
#undef rl_CreateEvent

namespace slotwire::test {

constexpr rl::memory_order relacy_order(std::memory_order order) {
  switch (order) {
    case std::memory_order_relaxed:
      return rl::mo_relaxed;
    case std::memory_order_consume:
    case std::memory_order_acquire:
      return rl::mo_acquire;
    case std::memory_order_release:
      return rl::mo_release;
    case std::memory_order_acq_rel:
      return rl::mo_acq_rel;
    case std::memory_order_seq_cst:
      break;
  }
  return rl::mo_seq_cst;
}

/// What a std::atomic offers.
template <typename T>
class RelacyAtomic {
 public:
  RelacyAtomic() : value_(T{}) {}

  T load(std::memory_order order = std::memory_order_seq_cst) const {
    return value_.load(weak_loads ? rl::mo_relaxed : relacy_order(order), RL_INFO);
  }
  void store(T value, std::memory_order order = std::memory_order_seq_cst) {
    value_.store(value, weak_stores ? rl::mo_relaxed : relacy_order(order), RL_INFO);
  }

  /// Seeded faults: whatever the order that is asked for, it is relaxed.
  bool weak_loads = false, weak_stores = false;

 private:
  rl::atomic<T> value_;
};

inline void relacy_fence() {
  rl::atomic_thread_fence(rl::mo_seq_cst, RL_INFO);
}

/// The outcome of a search.
struct Searched {
  std::uint64_t runs = 0;
  std::string fault;  ///< empty: none
};

/// Runs a rl::test_suite. `switches`: how often a thread that could go on is stopped, at most; 0: in every order.
template <typename Suite>
Searched search_with_relacy(unsigned switches) {
  // Relacy reports where nothing may be allocated.
  struct Nowhere : std::streambuf {
    int_type overflow(int_type c) override { return traits_type::not_eof(c); }
    std::streamsize xsputn(const char* /*text*/, std::streamsize length) override { return length; }
  };
  static Nowhere nowhere;
  static std::ostream stream(&nowhere);
  rl::test_params parameters;
  parameters.output_stream = &stream;
  parameters.progress_stream = &stream;
  parameters.search_type = switches == 0 ? rl::sched_full : rl::sched_bound;
  parameters.context_bound = switches;
  rl::simulate<Suite>(parameters);
  Searched searched;
  searched.runs = static_cast<std::uint64_t>(parameters.stop_iteration);
  if (parameters.test_result != rl::test_result_success) searched.fault = rl::test_result_str(parameters.test_result);
  return searched;
}

}  // namespace slotwire::test
