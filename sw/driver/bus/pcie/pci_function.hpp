// A PCI function as a driver sees it: configuration space, BARs, interrupts, reset. How one is reached (vfio-user, the
// kernel's VFIO, sysfs) is an implementation each.
//
// Thread rules: a function belongs to one thread.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "core/slot/memory.hpp"
#include "driver/bus/dma_pages.hpp"
#include "driver/relay/slot_share.hpp"

namespace slotwire::driver {

class PciFunction {
 public:
  static constexpr unsigned kBars = 6;
  /// Interrupt vectors that anyone here asks for, at most.
  static constexpr unsigned kMostVectors = 32;

  virtual ~PciFunction() = default;

  /// Reaches the function anew; what was open before is closed first. False: error() says why not and what to do.
  virtual bool open() = 0;
  /// Empty while it can be reached; else what happened and what to do.
  virtual const std::string& error() const = 0;
  /// For messages: where it is and by what.
  virtual const std::string& name() const = 0;

  // Configuration space: 1, 2 or 4 bytes, aligned. False: error() says why.
  virtual bool config_read(std::size_t offset, std::span<std::byte> data) = 0;
  virtual bool config_write(std::size_t offset, std::span<const std::byte> data) = 0;

  /// 0: there is no such BAR.
  virtual std::size_t bar_bytes(unsigned bar) const = 0;
  /// Writes inside one BAR; 4-byte aligned, a multiple of 4 bytes. Takes effect in the order of the calls for one BAR;
  /// between BARs and before a read only after fence(). May be kept until flush(). Of a BAR that is mapped, a line that
  /// is whole goes in one store where the CPU has one.
  virtual void write(unsigned bar, std::size_t offset, std::span<const std::byte> data) = 0;
  /// Reads what is inside one BAR; alignment as of write(). False: the function cannot be reached. A function that is
  /// gone answers with ones.
  virtual bool read(unsigned bar, std::size_t offset, std::span<std::byte> data) = 0;
  /// What was written before, is there before what is written or read after.
  virtual void fence() = 0;
  /// Sends what is kept.
  virtual void flush() = 0;

  /// Interrupt vectors (MSI-X) that can be had; 0: the function has to be polled.
  virtual unsigned vectors() const = 0;
  /// Vector n raises eventfd n from now on. False: error() says why.
  virtual bool set_interrupts(std::span<const int> eventfds) = 0;
  /// Function-level reset; BARs and interrupts are set up again as they were. False: error() says why.
  virtual bool reset() = 0;
  /// Readable (epoll) when the function goes away or its owner wants it back; -1: that is not told.
  virtual int fd() const = 0;
  /// fd() is readable: looks at what it says. error() may be set then.
  virtual void look() {}

  // As of HostBus.
  virtual std::string dma_obstacle(const DmaRange& range) const = 0;
  virtual std::string map_pages(const DmaPages& pages) = 0;
  virtual void unmap_pages(const DmaPages& pages) = 0;
  virtual bool maps_files() const { return false; }

  // As of HostBus; a function of a kernel has none of it.
  virtual bool shares_slots() const { return false; }
  virtual bool share_slot(const SlotShare& /*share*/) { return false; }
  virtual bool unshare_slot(std::uint16_t /*slot*/) { return false; }
};

}  // namespace slotwire::driver
