// The contenders, each made in its own file under contenders/. A new one is a file there, a line here, one in
// registry.cpp and one in CMakeLists.txt.
#pragma once
#include "contender.hpp"

namespace slotwire::bench {

Contender slotwire_messages();
Contender slotwire_calls();
Contender slotwire_blocks();
Contender slotwire_strict();
Contender iceoryx();
Contender zeromq();
Contender nng();
Contender grpc();
Contender ucx();
Contender boost_queue();
Contender posix_queue();
Contender unix_sockets();
Contender pipes();
Contender tcp();
Contender floor_line();
Contender floor_ring();
Contender floor_futex();
Contender floor_eventfd();

}  // namespace slotwire::bench
