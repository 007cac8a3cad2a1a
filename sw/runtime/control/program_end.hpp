// How a program ends that has printed what it was asked for.
#pragma once

namespace slotwire::control {

/// Exit statuses that every program shares.
inline constexpr int kEndDone = 0;
inline constexpr int kEndFailed = 1;  // what was asked for was not done, or its output could not be written
inline constexpr int kEndUsage = 2;   // wrong usage

/// Writes what standard output still holds, of std::cout and of stdio. Returns `status`, or kEndFailed where `status`
/// is kEndDone and the output could not be written, which it then says on standard error in the name of `program`. The
/// program must not print after it.
int end_of_output(int status, const char* program);

}  // namespace slotwire::control
