// Makes a contender of its class: what a contender's file includes.
#pragma once
#include <string>
#include <utility>

#include "client_side.hpp"
#include "contender.hpp"
#include "server_side.hpp"

namespace slotwire::bench {

template <typename End>
void run_side(const Setup& setup) {
  End end(setup);
  count_up(setup.board.sides_ready);
  wait_until_at_least(setup.board.sides_ready, setup.subscribers() + 1);
  if (setup.role == Role::client) {
    ClientSide<End>(end, setup).run();
    count_up(setup.board.finished);
  } else {
    ServerSide<End>(end, setup).run();
    // The processor time of a process that has ended can no longer be read.
    wait_until_at_least(setup.board.finished, 1);
  }
}

template <typename End>
Contender make_contender(std::string name, Traits traits) {
  return {.name = std::move(name),
          .traits = std::move(traits),
          .messages = HasMessages<End>,
          .batches = HasBatches<End>,
          .loans = HasLoans<End>,
          .run = run_side<End>};
}

}  // namespace slotwire::bench
