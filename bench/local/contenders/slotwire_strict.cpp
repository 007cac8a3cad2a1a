// Slotwire's blocks in a strict region: slotwired copies each message, and neither side maps memory of the other.
#include <cstdlib>

#include "contenders/slotwire_blocks_end.hpp"
#include "contenders/slotwire_daemon.hpp"
#include "registry.hpp"

namespace slotwire::bench {
namespace {

std::unique_ptr<Daemon> start_strict(const std::filesystem::path& directory) {
  return start_slotwired_with(directory, R"([limits]
cell_memory = "64MiB"
[[region]]
name = "bench-*"
isolation = "strict"
users = ["*"]
)");
}

class StrictEnd : public BlocksEnd {
 public:
  explicit StrictEnd(const Setup& setup) : BlocksEnd(with_slotwired(setup)) {}

 private:
  static const Setup& with_slotwired(const Setup& setup) {
    ::setenv("SLOTWIRE_SOCKET", setup.job().endpoint, 1);
    return setup;
  }
};

}  // namespace

Contender slotwire_strict() {
  return make_contender<StrictEnd>("slotwire blocks, strict",
                                   {.group = Group::slotwire, .spins = false, .start = start_strict});
}

}  // namespace slotwire::bench
