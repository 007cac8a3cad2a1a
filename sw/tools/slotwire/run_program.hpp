// Runs a program with bytes on its standard input and takes what it writes.
#pragma once
#include <chrono>
#include <cstddef>
#include <functional>
#include <span>
#include <string>

namespace slotwire::cli {

/// How a program ended.
struct ProgramResult {
  int status = 0;         ///< exit status; 128 + signal when a signal ended it
  bool too_slow = false;  ///< it was killed at the deadline, or because it was not wanted any more
  bool too_much = false;  ///< it was killed because it wrote more than was allowed
  std::string output;
};

/// Runs `command` by /bin/sh with `input` on its standard input; standard error is this process's. Kills it (its whole
/// process group) when `wanted` returns false (asked every 100 ms), after `limit`, or when it writes more than
/// `most_output` bytes. When the program has ended, what is left of its process group is ended, too, and nobody who
/// holds its standard output open is waited for. Throws std::system_error when it cannot be started.
ProgramResult run_program(const std::string& command, std::span<const std::byte> input, std::chrono::microseconds limit,
                          std::size_t most_output, const std::function<bool()>& wanted);

}  // namespace slotwire::cli
