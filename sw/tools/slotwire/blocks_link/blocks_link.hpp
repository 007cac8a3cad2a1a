// slotwire blocks link: what is published in a region of this node reaches the subscribers of the region of the same
// name on other nodes, and the reverse.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "tools/slotwire/common.hpp"

namespace slotwire::cli::blocks_link {

struct LinkOptions {
  Common common;
  std::string region;
  std::vector<std::string> peers;                      ///< nodes whose messages are wanted here
  std::uint64_t block_bytes = std::uint64_t{4} << 20;  ///< memory for messages of one topic of one peer
  std::size_t topics = 64;                             ///< at most, in each direction and for each peer
};

/// Runs until SIGINT or SIGTERM. Throws CommandError.
int run_link(const LinkOptions& options);

}  // namespace slotwire::cli::blocks_link
