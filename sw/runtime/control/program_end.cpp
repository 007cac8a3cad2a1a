#include "runtime/control/program_end.hpp"

#include <cerrno>
#include <cstdio>
#include <iostream>
#include <system_error>

namespace slotwire::control {

int end_of_output(int status, const char* program) {
  // An error of a write before this one is still in errno: nothing else was done since.
  std::cout.flush();
  const bool streamed = static_cast<bool>(std::cout);
  const bool written = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  if ((streamed && written) || status != kEndDone) return status;
  std::fprintf(stderr, "%s: the output cannot be written: %s\n", program,
               std::generic_category().message(errno == 0 ? EIO : errno).c_str());
  return kEndFailed;
}

}  // namespace slotwire::control
