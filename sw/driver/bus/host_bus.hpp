// The way to a card's registers and memory (card addresses, docs/registers.md). A card behind a socket, a PCIe window
// or XRT is one implementation each; the driver above them is the same.
//
// Thread rules: a bus belongs to one thread.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "driver/bus/dma_pages.hpp"
#include "driver/relay/slot_share.hpp"

namespace slotwire::driver {

class HostBus {
 public:
  virtual ~HostBus() = default;

  /// Writes `data` at card address `address`: one or more whole 32-bit words inside one line, or whole lines. Writes
  /// take effect in order, and before any later read. May be kept until flush() or read().
  virtual void write(std::size_t address, std::span<const std::byte> data) = 0;
  /// Reads like write() writes. False: the card did not answer (see broken()), or there is nothing at the address.
  virtual bool read(std::size_t address, std::span<std::byte> data) = 0;
  /// Sends what is kept.
  virtual void flush() = 0;

  /// Interrupt vectors that were raised since the last call, a bit each. Never waits.
  virtual std::uint32_t take_interrupts() = 0;
  /// Readable (epoll) when there is an interrupt to take or the card went away; -1 while there is no way to the card.
  virtual int fd() const = 0;

  /// Empty while the card answers; else (before the first reconnect(), too) what happened and what to do.
  virtual const std::string& broken() const = 0;
  /// Tries to reach a card that went away, at once or not at all. True: it answers (again).
  virtual bool reconnect() = 0;

  /// Can the card be handed a slot's space files, to serve them in the place of pages of its own. Known once the card
  /// was reached.
  virtual bool shares_slots() const { return false; }
  /// From now on the card serves the slot, whose row it must have; it begins where the proxy page stands. False: the
  /// card did not answer or refused; see broken().
  virtual bool share_slot(const SlotShare& /*share*/) { return false; }
  /// When it returns, the card touches the slot's files no more. A slot that is not shared is none of an error. The end
  /// of the connection, and a reset of the card, end all. False: as of share_slot().
  virtual bool unshare_slot(std::uint16_t /*slot*/) { return false; }

  /// Why the card cannot be given memory of this process at bus addresses in `range`; empty: it can. Known once the
  /// card was reached.
  virtual std::string dma_obstacle(const DmaRange& /*range*/) const {
    return "the way to the card leads through another program, which maps no memory for it";
  }
  /// The card may write into `pages` from now on. Returns why not; empty: it may. The end of the connection ends it.
  virtual std::string map_pages(const DmaPages& /*pages*/) { return "it cannot"; }
  /// Ends that: the card cannot write there any more when it returns. Also of a card that does not answer.
  virtual void unmap_pages(const DmaPages& /*pages*/) {}
  /// map_pages() needs the descriptor of the file.
  virtual bool maps_files() const { return false; }

  void write32(std::size_t address, std::uint32_t value) { write(address, std::as_bytes(std::span(&value, 1))); }
};

}  // namespace slotwire::driver
