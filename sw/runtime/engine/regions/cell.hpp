// A cell: what one process and the engine share of a region whose isolation is strict. The directory, the lists of the
// process and those of the engine are the engine's memory, handed to the process and to nobody else.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/blocks/cell_channel.hpp"
#include "runtime/blocks/region_report.hpp"
#include "runtime/engine/regions/kept_region.hpp"
#include "runtime/engine/regions/region_record.hpp"

namespace slotwire::engine {

/// One thread. The process may write what it likes into its directory and its lists, and say what it likes.
class Cell {
 public:
  struct Events {
    std::function<void()> changed;  ///< the process has changed its directory
    std::function<void()> ended;    ///< the process has ended or let go of the cell; what it published may be left
  };
  /// Messages of a process, by place and serial of its publication, that an earlier life of the engine had taken.
  using Resume = std::map<std::pair<std::uint32_t, std::uint64_t>, blocks::Position>;

  /// Of a process that asks for it. Throws Refusal, StoreLate or std::system_error. `made_bytes`: memory for blocks
  /// that the engine has made, of all cells.
  Cell(const RegionParts& parts, std::uint32_t index, RegionRecord record, std::uint64_t& made_bytes, Events events);
  /// Of an earlier life: directory, record, channel. Throws std::runtime_error.
  Cell(const RegionParts& parts, std::uint32_t index, RegionRecord record, std::uint64_t& made_bytes, Events events,
       std::vector<slot::Fd> fds);
  ~Cell();
  Cell(const Cell&) = delete;
  Cell& operator=(const Cell&) = delete;

  /// What goes to the process: the directory and its end of the channel. Once.
  std::vector<int> for_process() const { return {directory_.get(), theirs_.get()}; }
  void sent() { theirs_.reset(); }
  /// A list of the process that an earlier life made.
  void recover_list(std::uint16_t number, slot::Fd file);
  /// Begins to listen to the process.
  void start();

  /// The engine's attachment. Throws blocks::RegionBusy as long as the process has the lock.
  blocks::Region& region();
  /// What earlier lives of the engine had taken, until forget_earlier_lives(). Throws RegionBusy.
  Resume resume();
  void forget_earlier_lives();
  /// The process has gone: nothing comes any more but what it had published. Throws RegionBusy.
  void remove_process();
  /// Ends the channel for all who have it, the keeper too: called before the directory is cleared, so that the process
  /// learns that its region is gone before it sees that nobody subscribes any more.
  void cut();
  /// Forgets in the keeper what lies under its tags; when it goes for good.
  void forget_kept();

  std::uint32_t index() const { return index_; }
  const RegionRecord& record() const { return record_; }
  bool ended() const { return ended_; }
  bool taken_over() const { return taken_over_; }
  /// What an earlier life of the engine left in the directory is still there (see forget_earlier_lives()).
  bool recovered() const { return recovered_; }
  struct Topics {
    std::vector<std::string> offers{};      ///< that the process publishes
    std::vector<blocks::Interest> wants{};  ///< that it subscribes to
    std::size_t opened = 0;                 ///< files, to find out what stands in the directory
  };
  /// As they are at one moment. Throws RegionBusy.
  Topics topics();
  RegionFigures figures() const;
  /// Who is woken by a change of the directory: one system call each.
  std::size_t wakers() const;
  /// The process is there no more, or is to have no part in the region any more; after cut(). What stands in the
  /// directory costs nothing from here on.
  void clear();
  /// The descriptors of its process, its lists and their blocks, as of now. Copies that slotwired makes for the process
  /// are shown without their places.
  const RegionDescriptors& descriptors() {
    descriptors_.update(directory(), parts_.loop.now_us());
    return descriptors_;
  }
  const blocks::RegionMemory& directory() const {
    return *reinterpret_cast<const blocks::RegionMemory*>(mapping_.data());
  }
  std::size_t lists() const { return lists_.size(); }
  /// Memory for blocks that the engine has made for it; throws Refusal when there is to be no more.
  void check_memory(std::uint64_t bytes) const;
  /// Memory for blocks that counts as long as the object is there.
  class Memory {
   public:
    Memory(Cell& cell, std::uint64_t bytes)
        : total_(&cell.made_bytes_),
          charge_(cell.parts_.users, cell.record_.uid, Resource::block_memory, bytes),
          made_charge_(cell.parts_.users, cell.record_.uid, Resource::cell_memory, bytes) {
      *total_ += bytes;
    }
    Memory(Memory&& other) noexcept
        : total_(std::exchange(other.total_, nullptr)),
          charge_(std::move(other.charge_)),
          made_charge_(std::move(other.made_charge_)) {}
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    Memory& operator=(Memory&&) = delete;
    ~Memory() {
      if (total_ != nullptr) *total_ -= charge_.amount();
    }
    std::uint64_t bytes() const { return charge_.amount(); }

   private:
    std::uint64_t* total_;
    UserAccounts::Charge charge_, made_charge_;
  };

 private:
  class Side;
  struct List {
    slot::Fd file;
    Memory memory;
  };

  void watch_process();
  void watch_channel();
  void take_packets();
  void handle(const blocks::CellMessage& message);
  void answer_make(std::uint64_t bytes, std::uint64_t since_us);
  /// Throws Refusal, StoreLate or std::system_error.
  void make(std::uint64_t bytes);
  void drop(std::uint32_t number);
  slot::Fd open_list(std::uint32_t number) const;
  void end();

  const RegionParts& parts_;
  std::uint32_t index_;
  RegionRecord record_;
  std::uint64_t& made_bytes_;
  Events events_;
  slot::Fd directory_, theirs_;
  slot::Mapping mapping_;
  std::unique_ptr<control::PacketSocket> channel_;
  std::unique_ptr<blocks::Region> region_;
  std::unique_ptr<ProcessWatch> process_;
  std::map<std::uint32_t, List> lists_;  ///< of the process, by number
  std::uint32_t next_list_;              ///< number of the engine's next one
  RegionDescriptors descriptors_{[this](const RegionDescriptors::Key& /*process*/, std::uint32_t number,
                                        std::uint64_t /*bytes*/) { return open_list(number); },
                                 nullptr};
  std::optional<EventLoop::TimerId> pause_;
  std::optional<EventLoop::TimerId> late_make_;  ///< a list that waits for the keeper
  bool watched_ = false;                         ///< the channel is in the loop
  bool ended_ = false;
  bool taken_over_ = false;  ///< from an earlier life of the engine
  bool recovered_ = false;   ///< and what that left in the directory is still there
  UserAccounts::Charge charge_, directory_charge_;
};

}  // namespace slotwire::engine
