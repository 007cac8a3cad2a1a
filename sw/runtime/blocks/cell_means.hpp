// The process's side of a cell: its memory comes from slotwired, and what others publish comes as copies of
// slotwired's.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "runtime/blocks/cell_channel.hpp"
#include "runtime/blocks/region_means.hpp"

namespace slotwire::blocks {

/// One thread.
class CellMeans final : public RegionMeans {
 public:
  /// `channel`: the process's end.
  CellMeans(std::string region, slot::Fd channel);

  MadeList make_list(std::size_t bytes) override;
  void drop_list(std::uint32_t number) override;
  slot::Fd open_list(const Member& member, std::uint32_t number) override;
  void changed() override;
  /// slotwired's side sees to its earlier lives; until then what it had not taken waits for it.
  bool sweeps() const override { return false; }
  int fd() const override { return channel_.fd(); }
  bool drain() override;
  void check() const override;

 private:
  std::string region_;
  control::PacketSocket channel_;
  std::map<std::uint32_t, slot::Fd> lists_;  ///< of slotwired, by number
  struct Made {
    std::uint32_t number = 0;
    slot::Fd file{};
    std::string refusal{};
  };
  std::optional<Made> made_;
  bool expects_ = false;  ///< an answer to what make_list() asked for
  bool ended_ = false;
};

}  // namespace slotwire::blocks
