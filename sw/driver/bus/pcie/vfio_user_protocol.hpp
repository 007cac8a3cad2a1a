// The vfio-user protocol as both ends of it here speak it: a PCI function in another process, over a unix socket.
// The numbers of regions, interrupts and flags are those of <linux/vfio.h>. Fields are little-endian.
#pragma once
#include <cstddef>
#include <cstdint>

namespace slotwire::driver::vfio_user {

inline constexpr std::uint16_t kMajor = 0, kMinor = 1;
/// Most data bytes in one read or write of a region.
inline constexpr std::size_t kMaxTransfer = std::size_t{64} << 10;
/// Longest message that either end takes.
inline constexpr std::size_t kMaxMessage = kMaxTransfer + 4096;
/// Most descriptors with one message.
inline constexpr std::size_t kMaxFds = 32;

enum class Command : std::uint16_t {
  version = 1,
  dma_map = 2,
  dma_unmap = 3,
  device_get_info = 4,
  device_get_region_info = 5,
  device_get_region_io_fds = 6,
  device_get_irq_info = 7,
  device_set_irqs = 8,
  region_read = 9,
  region_write = 10,
  dma_read = 11,
  dma_write = 12,
  device_reset = 13,
  // Of our own, for a device that says kSharesSlots; the protocol leaves these numbers free.
  share_slot = 0x8001,
  unshare_slot = 0x8002,
};

/// In the JSON text of a device's version: it serves slots whose space files it is handed.
inline constexpr const char* kSharesSlots = "\"slotwire_slots\":true";

inline constexpr std::uint32_t kTypeMask = 0xf, kReply = 1, kNoReply = 1U << 4, kError = 1U << 5;

struct Header {
  std::uint16_t id;
  std::uint16_t command;
  std::uint32_t size;  ///< of the whole message
  std::uint32_t flags;
  std::uint32_t error;
};
static_assert(sizeof(Header) == 16);

/// Followed by an optional JSON text that ends with a zero byte.
struct Version {
  std::uint16_t major;
  std::uint16_t minor;
};

struct DeviceInfo {
  std::uint32_t argsz;
  std::uint32_t flags;
  std::uint32_t regions;
  std::uint32_t irqs;
};

struct RegionInfo {
  std::uint32_t argsz;
  std::uint32_t flags;
  std::uint32_t index;
  std::uint32_t cap_offset;
  std::uint64_t size;
  std::uint64_t offset;
};
static_assert(sizeof(RegionInfo) == 32);

struct IrqInfo {
  std::uint32_t argsz;
  std::uint32_t flags;
  std::uint32_t index;
  std::uint32_t count;
};

/// Descriptors go with the message.
struct SetIrqs {
  std::uint32_t argsz;
  std::uint32_t flags;
  std::uint32_t index;
  std::uint32_t start;
  std::uint32_t count;
};

/// Followed by the data of a write, and of the answer to a read.
struct RegionAccess {
  std::uint64_t offset;
  std::uint32_t region;
  std::uint32_t count;
};
static_assert(sizeof(RegionAccess) == 16);

/// With the descriptor of the file that is mapped. Without one the protocol has messages for each access, which nobody
/// here speaks: such a region is not reached. The answer is empty.
struct DmaMap {
  std::uint32_t argsz;
  std::uint32_t flags;  ///< bit 0: may be read, bit 1: may be written
  std::uint64_t offset;
  std::uint64_t address;
  std::uint64_t size;
};
static_assert(sizeof(DmaMap) == 32);
inline constexpr std::uint32_t kDmaRead = 1, kDmaWrite = 2;

/// Of a region that was mapped, as a whole. The answer repeats it: then nothing is written there any more.
struct DmaUnmap {
  std::uint32_t argsz;
  std::uint32_t flags;
  std::uint64_t address;
  std::uint64_t size;
};
static_assert(sizeof(DmaUnmap) == 24);

/// With three descriptors: space file A, space file B, the timerfd that wakes the process. The answer is empty.
struct ShareSlot {
  std::uint32_t slot;
  std::uint32_t in_order;   ///< of the ring in A
  std::uint32_t out_order;  ///< of the ring in B
};
inline constexpr std::size_t kShareFds = 3;

/// The answer, which is empty, means that the files are touched no more.
struct UnshareSlot {
  std::uint32_t slot;
};

}  // namespace slotwire::driver::vfio_user
