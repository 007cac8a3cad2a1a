// The DPDK carrier: a network port of its own, without the kernel. No header of DPDK is needed to use it, and slotwired
// is not linked with DPDK: the carrier is a module, slotwire-dpdk.so, that is loaded when a link asks for it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/carriers/carrier.hpp"
#include "core/carriers/frame_cipher.hpp"
#include "core/carriers/socket.hpp"

namespace slotwire::carriers {

inline constexpr std::size_t kMaxDpdkMtu = 9600;  ///< bytes of an IP packet: jumbo frames of usual ports
inline constexpr std::uint32_t kMinDpdkDescriptors = 64, kMaxDpdkDescriptors = 4096;
inline constexpr std::size_t kMaxEalArguments = 32;
inline constexpr std::size_t kMaxDpdkQueues = 16;
inline constexpr std::size_t kMaxInterfaceName = 15;  ///< characters of the kernel's
inline constexpr unsigned kMaxVlan = 4094;

/// What the process as a whole is set up with: the first carrier decides, EAL starts once in a process.
struct EalOptions {
  bool hugepages = true;                       ///< false: memory of ordinary pages, slower; some ports need hugepages
  std::size_t memory = std::size_t{64} << 20;  ///< bytes that DPDK takes
  int lcore = -1;                 ///< CPU that the calling thread is bound to; -1: those that the process may use
  std::vector<std::string> more;  ///< further arguments, at most kMaxEalArguments
};

/// Whether lines are sent from where they are in slot memory instead of copied into the port's buffers: automatic where
/// the driver is known to do it right and it pays.
enum class ZeroCopy : std::uint8_t { automatic, off, on };

struct DpdkOptions {
  std::string device;    ///< a virtual device with its arguments ("net_af_packet0,iface=eth1") or a PCI address
  Address address;       ///< IPv4 and port, not 0, and none that the kernel has
  unsigned prefix = 24;  ///< bits of the network's address, 1 to 32
  Address gateway;       ///< IPv4, its port means nothing; none: peers on the port's own network only
  /// An interface of the kernel that gets what is not for `address`, and whose frames leave through the port. Empty:
  /// what is not for `address` is dropped.
  std::string kernel_interface;
  unsigned vlan = 0;       ///< 1 to kMaxVlan: frames have this tag of 802.1Q, on top of the MTU; 0: none
  std::size_t mtu = 1500;  ///< bytes of the IP packet; room for one line to kMaxDpdkMtu. Same on all nodes
  std::uint32_t rx_descriptors = 1024, tx_descriptors = 512;  ///< kMinDpdkDescriptors to kMaxDpdkDescriptors
  std::size_t output_frames = 512;                            ///< frames kept while the port takes none, 1 to 65536
  std::size_t max_links = 1024;                               ///< at most 65536
  /// Pairs of queues, 1 to kMaxDpdkQueues: one for each thread that sends and receives.
  std::size_t queues = 1;
  /// CPUs that the threads of the queues are bound to by enter(), by queue; empty: not bound.
  std::vector<unsigned> queue_cpus;
  ZeroCopy zero_copy = ZeroCopy::automatic;
  EalOptions eal;
};

/// What a port is and does, for people.
struct DpdkPort {
  std::string device, driver, mac;
  std::string_view steering;  ///< what picks our frames out of all and brings them to their queue: "rte_flow",
                              ///< "rte_flow, isolated", an XDP program, "RSS", "software"
  std::string_view wake;      ///< what ends a sleep; "polling": there is no sleep
  std::string_view checksum;  ///< who makes and checks that of the IPv4 header: "port" or "software"
  std::string zero_copy;      ///< whether lines are sent from where they are, and why: "from 16 lines on", "off: ..."
  /// Frames that arrived at another queue than their slot's: given away, taken, and lost since the other queue did not
  /// keep up. All are 0 where the port steers and peers send to the ports that they were told.
  std::uint64_t handed_out = 0, handed_in = 0, hand_over_dropped = 0;
  std::uint64_t rx_other = 0;    ///< frames that were not for this address and port; nobody gets them from here
  std::string kernel_interface;  ///< that gets those frames instead; empty: none
  std::uint64_t to_kernel = 0, from_kernel = 0;  ///< frames through it
  std::uint64_t kernel_dropped = 0;  ///< frames that one end had no room for, or that came while there was no port
  std::uint64_t arp_answered = 0;    ///< times that the own MAC address was told
  std::uint64_t arp_conflicts = 0;   ///< times that another host claimed the own address
};

/// One port and one thread, the one that made it. A link is up once the MAC address of its peer (or of the gateway) is
/// known; until then on_link() says down with the reason. Frames are lost, doubled and reordered as UDP does.
class DpdkCarrier : public Carrier {
 public:
  /// Frames from `peer` are those of `link`, and the reverse. `link` is 0..max_links-1. Throws std::invalid_argument
  /// when the link or the address is taken, or the address is not IPv4, has port 0 or cannot be reached by this port.
  /// `ports` are those that the peer asks for (see ports() below); empty: that of `peer`. At most kMaxDpdkQueues.
  virtual void add_link(std::uint16_t link, const Address& peer, std::span<const std::uint16_t> ports = {}) = 0;
  /// Forgets the link. Does nothing when it is not there. The other queues hand out and send none of its frames from
  /// their next poll() on.
  virtual void remove_link(std::uint16_t link) = 0;
  virtual Address local_address() const = 0;
  virtual DpdkPort port() const = 0;

  // Several queues. A slot belongs to queue `slot % queues()`: that queue's carrier hands out the frames to it, and
  // sends those from it. Queue 0 is this carrier, with all calls above; the others have the same links, each with its
  // own on_link(). Each belongs to one thread; none waits for another.

  /// As many as the options say, or as the port can. What is not the port's own (net_af_packet: qpairs=, net_vhost:
  /// queues=) is for its arguments to say.
  virtual std::size_t queues() const = 0;
  /// The carrier of `queue`, 0..queues()-1. It lives as long as this one, which goes when no thread uses another any
  /// more.
  virtual Carrier& queue(std::size_t queue) = 0;
  /// The calling thread is that of `queue` from now on: bound to its CPU and known to DPDK. Once, before it uses the
  /// queue's carrier. Throws std::runtime_error.
  virtual void enter(std::size_t queue) = 0;
  /// The UDP ports that `peer` should send to: frames for slot s to the port s modulo their number. A peer that sends
  /// all frames to the port of local_address() is understood too, at the price of a hand-over between threads.
  virtual std::vector<std::uint16_t> ports(const Address& peer) const = 0;
};

/// Loads the module (once) and opens a port. Set-up only: takes some tenths of a second. Throws std::invalid_argument
/// (an option out of its range) or std::runtime_error (no module, no port); the text says what to do.
std::unique_ptr<DpdkCarrier> open_dpdk(const DpdkOptions& options);

/// Loads the module (once) and makes AES-GCM of DPDK's, for `most` ciphers at once of frames up to kMaxDpdkMtu. Where
/// EAL does not run yet it is started with `eal`. Throws std::runtime_error: what is missing, and what to do.
std::unique_ptr<CipherLibrary> open_dpdk_ciphers(const EalOptions& eal, std::size_t most);

/// What the module has under the name kDpdkModuleSymbol. It fits only the release that it was built with.
struct DpdkModule {
  const char* version;
  std::size_t options_bytes;
  std::unique_ptr<DpdkCarrier> (*open)(const DpdkOptions& options);
  std::unique_ptr<CipherLibrary> (*ciphers)(const EalOptions& eal, std::size_t most);
};
inline constexpr const char* kDpdkModuleFile = "slotwire-dpdk.so";
inline constexpr const char* kDpdkModuleSymbol = "slotwire_dpdk_module";

}  // namespace slotwire::carriers
