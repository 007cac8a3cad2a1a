// Looks names up without keeping the caller waiting.
#pragma once
#include <array>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/carriers/socket.hpp"
#include "core/result.hpp"

namespace slotwire::gate {

/// A few threads that wait for the system's resolver, which may take as long as it likes. Lives until the process ends:
/// a thread within the resolver cannot be stopped.
class Resolver {
 public:
  using Found = core::Result<std::vector<carriers::Address>>;
  using Done = std::function<void(const Found&)>;
  /// Both families, in the order of the system's preference, with port 0, at most `most` of them; may wait.
  using LookUp = std::function<Found(const std::string& host, std::size_t most)>;

  static constexpr std::size_t kMaxWaiting = 512;

  /// Starts the threads.
  explicit Resolver(std::size_t threads, std::size_t most, LookUp look_up);
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  /// Readable when take() has something to do.
  int fd() const { return news_.get(); }
  /// Calls `done` at once for a numeric address, and when too many wait; else from take().
  void resolve(const std::string& host, Done done);
  /// Calls what is done.
  void take();

 private:
  struct Job {
    std::string host;
    Done done;
  };
  struct Answer {
    Found found;
    Done done;
  };
  void work();

  std::size_t most_;
  LookUp look_up_;
  slot::Fd news_;
  std::mutex mutex_;
  std::condition_variable more_;
  std::deque<Job> jobs_;
  std::vector<Answer> answers_;
};

/// What the system's resolver reads: its configuration, which others replace while the gate runs, and its modules.
inline constexpr std::array<std::string_view, 7> kFiles = {
    "/etc", "/usr/lib", "/lib", "/lib64", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager"};

/// By getaddrinfo(3).
Resolver::Found look_up(const std::string& host, std::size_t most);

}  // namespace slotwire::gate
