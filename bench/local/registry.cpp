#include "registry.hpp"

namespace slotwire::bench {

const std::vector<Contender>& contenders() {
  static const std::vector<Contender> all{
      slotwire_messages(),
      slotwire_calls(),
      slotwire_blocks(),
      slotwire_strict(),
#ifdef SLOTWIRE_BENCH_ICEORYX
      iceoryx(),
#endif
#ifdef SLOTWIRE_BENCH_ZEROMQ
      zeromq(),
#endif
#ifdef SLOTWIRE_BENCH_NNG
      nng(),
#endif
#ifdef SLOTWIRE_BENCH_GRPC
      grpc(),
#endif
#ifdef SLOTWIRE_BENCH_UCX
      ucx(),
#endif
#ifdef SLOTWIRE_BENCH_BOOST
      boost_queue(),
#endif
      posix_queue(),
      unix_sockets(),
      pipes(),
      tcp(),
      floor_line(),
      floor_ring(),
      floor_futex(),
      floor_eventfd(),
  };
  return all;
}

const std::vector<LeftOut>& not_built() {
  static const std::vector<LeftOut> all{
#ifndef SLOTWIRE_BENCH_ICEORYX
      {"iceoryx", "the packages iceoryx and libiceoryx-posh-dev were not there when this was built"},
#endif
#ifndef SLOTWIRE_BENCH_ZEROMQ
      {"zeromq", "the package libzmq3-dev was not there when this was built"},
#endif
#ifndef SLOTWIRE_BENCH_NNG
      {"nng", "the package libnng-dev was not there when this was built"},
#endif
#ifndef SLOTWIRE_BENCH_GRPC
      {"grpc", "the package libgrpc++-dev was not there when this was built"},
#endif
#ifndef SLOTWIRE_BENCH_UCX
      {"ucx", "the package libucx-dev was not there when this was built"},
#endif
#ifndef SLOTWIRE_BENCH_BOOST
      {"boost message_queue", "the package libboost1.81-dev was not there when this was built"},
#endif
  };
  return all;
}

}  // namespace slotwire::bench
