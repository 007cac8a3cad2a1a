// The descriptors of regions as rows of control answers.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/engine/config/config.hpp"
#include "runtime/engine/regions/region_descriptors.hpp"
#include "runtime/engine/sessions/user_accounts.hpp"

namespace slotwire::engine {

/// A region, or a cell of one, whose descriptors are shown. All of it outlives the object.
struct DescribedRegion {
  std::string name{};
  uid_t uid = 0;
  Isolation isolation = Isolation::shared;
  const RegionDescriptors* descriptors = nullptr;
  const blocks::RegionMemory* memory = nullptr;
  std::function<bool(const RegionDescriptors::Key&)> is_watched{};
};

/// Blocks that are shown of one list.
inline constexpr std::size_t kShownBlocks = 32;
/// Bytes after which an answer with descriptors ends, whatever else fits; the next one goes on.
inline constexpr std::size_t kDescriptorAnswerBytes = std::size_t{32} << 10U;

/// A page of `attached`: a row for each process and region. `from` counts rows.
control::Json attached_rows(const std::vector<DescribedRegion>& regions, const UserAccounts& users,
                            std::uint64_t now_us, std::uint64_t from, std::uint64_t max);
/// A page of `blocks`: a row for each list, with its blocks.
control::Json block_rows(const std::vector<DescribedRegion>& regions, std::uint64_t now_us, std::uint64_t from,
                         std::uint64_t max);

}  // namespace slotwire::engine
