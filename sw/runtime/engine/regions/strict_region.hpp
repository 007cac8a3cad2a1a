// A region whose isolation is strict: the engine copies each message from the memory of its publisher's process into
// memory that it shares with one subscribing process.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "runtime/blocks/publisher.hpp"
#include "runtime/blocks/subscriber.hpp"
#include "runtime/engine/regions/cell.hpp"
#include "runtime/engine/regions/look_budget.hpp"

namespace slotwire::engine {

/// One thread. What one call copies, looks at, opens and closes is bounded; the rest comes in later turns of the loop.
/// What a user's processes write into their directories costs no more in a tick than the user's budget; what is left is
/// done in the next ones, and is nobody else's loss.
class StrictRegion {
 public:
  /// `cell_gone`: called, from the loop, when a cell has gone, with its index; it may end this object if that is empty.
  StrictRegion(const RegionParts& parts, LookBudget& budget, std::string name,
               std::function<void(std::uint32_t cell)> cell_gone);
  ~StrictRegion();
  StrictRegion(const StrictRegion&) = delete;
  StrictRegion& operator=(const StrictRegion&) = delete;

  void add(std::unique_ptr<Cell> cell);
  Cell* find(std::uint32_t index);
  bool empty() const { return seats_.empty(); }
  /// Looks at the cell's directory soon: it has changed, or its process has ended.
  void look_soon(std::uint32_t cell);
  /// Budgets are renewed.
  void on_tick();

  control::Json report() const;
  template <typename Visit>
  void visit_cells(Visit&& visit) {
    for (auto& [index, seat] : seats_) visit(*seat.cell);
  }
  /// Tags that lie in the store for its cells.
  std::size_t kept() const;

 private:
  /// The engine publishes in a cell what other cells publish of a topic.
  struct Outlet {
    Outlet(Cell& cell, const std::string& topic, const blocks::PublisherOptions& options);

    Cell& cell;
    Cell::Memory memory;
    blocks::Publisher publisher;
    bool waits = true;     ///< the process must lose nothing
    bool adopted = false;  ///< it has the memory mapped: what is copied is there, whatever becomes of the engine
    std::uint64_t copied = 0, too_large = 0;
  };
  /// What is left to do for one outlet with the message that is being copied.
  struct Target {
    Outlet* outlet = nullptr;
    std::optional<blocks::Publisher::Loan> loan{};
    std::size_t copied = 0;
  };
  /// The engine subscribes in a cell to a topic that its process publishes.
  struct Inlet {
    Inlet(Cell& cell, const std::string& topic, const blocks::SubscriberOptions& options);

    blocks::Subscriber subscriber;
    std::optional<blocks::Subscriber::View> view{};
    std::vector<Target> targets{};
    std::optional<EventLoop::TimerId> turn{};
    bool drained = false;  ///< nothing was there at the last look
  };
  struct Seat {
    std::unique_ptr<Cell> cell;
    std::map<std::string, std::unique_ptr<Outlet>> outlets{};
    std::map<std::string, std::unique_ptr<Inlet>> inlets{};
    std::uint64_t busy_since_us = 0;
    std::string damage{};  ///< why its directory is of no use any more; empty: it is
    bool process_removed = false;
    bool looked_at = false;        ///< once at least
    bool due = true;               ///< it may have changed since the last look
    std::uint64_t generation = 0;  ///< of the directory at the last look
    std::set<std::string> late{};  ///< topics whose turn waits for the next tick
    // As they were looked at last.
    std::vector<std::string> offers{};
    std::map<std::string, blocks::Interest> wants{};
  };
  enum class Step : std::uint8_t { done, blocked, budget_spent };
  static constexpr std::size_t kBytesPerTurn = std::size_t{256} << 10U;
  /// What an inlet's turn has done.
  struct Copying {
    std::size_t bytes_left = kBytesPerTurn;
    std::uint64_t messages = 0;    ///< taken, and given to each
    uid_t user = 0;                ///< whose cell took longest
    std::uint64_t slowest_us = 0;  ///< and how long
    bool late = false;             ///< somebody gets the message when its user has time again
  };

  uid_t user_of(const Seat& seat) const { return seat.cell->record().uid; }
  void charge(uid_t uid, std::uint64_t since_us, std::size_t calls);
  void set_topics(Seat& seat, std::vector<std::string> offers, std::map<std::string, blocks::Interest> wants);
  bool may_change(const Seat& seat, const std::string& topic);
  void changed(const Seat& seat, const std::string& topic, std::uint64_t since_us);
  void look_soon() { look_after(0); }
  void look_after(std::uint64_t delay_us);
  void look();
  void look_at_seats(bool& again);
  void tend_outlets(Seat& seat, bool& again);
  /// False: its process has the lock.
  bool look_at(Seat& seat);
  bool awaits_look() const;
  void join(Seat& seat, bool& again);
  bool is_wanted_elsewhere(const Seat& seat, const std::string& topic) const;
  bool is_offered_elsewhere(const Seat& seat, const std::string& topic) const;
  void open_outlet(Seat& seat, const std::string& topic);
  void open_inlet(Seat& seat, const std::string& topic, const Cell::Resume& resume);
  void close_outlet(Seat& seat, const std::string& topic);
  void close_inlet(Seat& seat, const std::string& topic);
  void drive_topic(const std::string& topic);
  void drive_after(std::uint32_t cell, const std::string& topic, std::uint64_t delay_us);
  void drive(Seat& seat, const std::string& topic);
  bool take(Seat& seat, Inlet& inlet, const std::string& topic);
  bool misses_outlet(const Seat& seat, const std::string& topic) const;
  void copy(Seat& seat, const std::string& topic);
  void took(uid_t uid, std::uint64_t since_us);
  Step give(Inlet& inlet);
  Step give_to(Target& target, std::span<const std::byte> data);
  void remove_ended();

  const RegionParts& parts_;
  LookBudget& budget_;
  std::string name_;
  std::function<void(std::uint32_t)> cell_gone_;
  std::map<std::uint32_t, Seat> seats_;  ///< by the cell's index
  // Cells that offer or want each topic.
  std::map<std::string, std::size_t> offered_, wanted_;
  /// Whose cell has changed what it offers or wants since everything was in order last: it pays for what follows.
  std::map<std::string, uid_t> changed_by_;
  Copying turn_;
  std::size_t turn_cost_ = 0;  ///< of the look that is under way
  bool put_off_ = false;       ///< something waits for the next tick
  bool more_ = false;          ///< something waits for the next turn of the loop
  std::optional<EventLoop::TimerId> look_;
  std::uint64_t look_at_us_ = 0;  ///< when it is due
};

}  // namespace slotwire::engine
