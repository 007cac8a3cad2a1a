// HTTP as an inspector reads it: see fuzz_inspect.hpp.
#include "fuzz/fuzz_inspect.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  slotwire::fuzz::fuzz_parser(slotwire::inspect::Language::http, data, size);
  return 0;
}
