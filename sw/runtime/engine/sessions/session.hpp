// A session: a process that is attached, or one that was before a restart of the engine and has not come back yet.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/slot/memory.hpp"
#include "runtime/control/messages.hpp"
#include "runtime/control/packet_socket.hpp"
#include "runtime/engine/sessions/credentials.hpp"
#include "runtime/engine/sessions/user_accounts.hpp"

namespace slotwire::engine {

/// What tells that a process has ended: its descriptor becomes readable then.
class ProcessWatch {
 public:
  virtual ~ProcessWatch() = default;
  virtual int fd() const = 0;
};

/// The processes of this machine, as far as sessions need them.
class Processes {
 public:
  virtual ~Processes() = default;
  /// Watches the process that `who` tells of; an Error when it has ended, even if its pid is in use again.
  virtual Result<std::unique_ptr<ProcessWatch>> watch(const PeerCredentials& who) = 0;
};

/// Those of the kernel, by pidfd.
class KernelProcesses final : public Processes {
 public:
  Result<std::unique_ptr<ProcessWatch>> watch(const PeerCredentials& who) override;
};

struct Session {
  std::uint32_t index = 0;
  std::unique_ptr<control::PacketChannel> channel;  ///< none while detached
  std::unique_ptr<ProcessWatch> process;
  std::vector<gid_t> gids;
  slot::Fd bell_file, polled_file, kick;
  slot::Mapping bells, polled;
  std::vector<std::uint32_t> slots;  ///< by local index; kNoSlotIndex: free
  std::uint32_t slot_count = 0;
  std::uint64_t memory = 0;  ///< bytes of slot memory
  UserAccounts::Charge charge;
  std::vector<control::Figures> figures;  ///< as the process reported them last
  bool answers_probes = false;            ///< the process said so
  bool keeps_spares = false;              ///< the process said so
  bool said_bye = false;
};

}  // namespace slotwire::engine
