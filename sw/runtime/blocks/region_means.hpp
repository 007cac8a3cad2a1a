// How an attachment to a region gets at memory, its own and that of others: directly, or through slotwired.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

#include "core/slot/memory.hpp"
#include "runtime/blocks/region_layout.hpp"

namespace slotwire::blocks {

/// The memory of a new list, which its publisher alone maps writable.
struct MadeList {
  slot::Fd file;
  slot::Mapping mapping;
  std::uint32_t number = 0;  ///< under which the others get at it
};

/// Somebody else has the right to change the directory, and the caller does not wait for it.
struct RegionBusy : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// One thread.
class RegionMeans {
 public:
  RegionMeans() = default;
  virtual ~RegionMeans() = default;
  RegionMeans(const RegionMeans&) = delete;
  RegionMeans& operator=(const RegionMeans&) = delete;

  /// Throws std::system_error or std::runtime_error with what to do.
  virtual MadeList make_list(std::size_t bytes) = 0;
  /// The list is not used any more by whoever made it.
  virtual void drop_list(std::uint32_t /*number*/) {}
  /// The list `number` of a member for reading. Empty: it is not there any more.
  virtual slot::Fd open_list(const Member& member, std::uint32_t number) = 0;
  /// This side has changed the directory.
  virtual void changed() {}
  /// Whether this side waits for the right to change the directory; else Region::Lock throws RegionBusy.
  virtual bool waits_for_lock() const { return true; }
  /// Whether this side sees to members that have died.
  virtual bool sweeps() const { return true; }
  /// Readable when drain() has something to do; -1: never.
  virtual int fd() const { return -1; }
  /// Takes what has come. False: the other side has gone for good.
  virtual bool drain() { return true; }
  /// Throws std::runtime_error when the other side has gone for good.
  virtual void check() const {}
};

/// Among processes of one user: through /proc. `region`: asks slotwired, if there is one, before it makes memory.
std::unique_ptr<RegionMeans> shared_means(const std::string& region);

}  // namespace slotwire::blocks
