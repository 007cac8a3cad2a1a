// POSIX message queues, one in each direction. Their limits (10 messages of 8 KiB by default) are raised as far as the
// kernel lets this process.
#include <fcntl.h>
#include <mqueue.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>

#include "byte_stream.hpp"
#include "registry.hpp"
#include "sides.hpp"

namespace slotwire::bench {
namespace {

constexpr std::size_t kLargest = std::size_t{1} << 20;

/// The longest message that this process may put into a queue: whoever has CAP_SYS_RESOURCE is not bound by the
/// system's limit.
std::size_t longest_message() {
  const std::string name = "/slotwire-bench-limit-" + std::to_string(::getpid());
  mq_attr attributes{};
  attributes.mq_maxmsg = 1;
  attributes.mq_msgsize = kLargest;
  const rlimit none{.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
  ::setrlimit(RLIMIT_MSGQUEUE, &none);
  if (const mqd_t queue = ::mq_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600, &attributes); queue >= 0) {
    ::mq_close(queue);
    ::mq_unlink(name.c_str());
    return kLargest;
  }
  std::size_t limit = 8192;
  std::ifstream("/proc/sys/fs/mqueue/msgsize_max") >> limit;
  return std::min(limit, kLargest);
}

std::string queue_name(const std::string& owner, unsigned number, const char* direction) {
  return "/slotwire-bench-" + owner + "-" + std::to_string(number) + "-" + direction;
}

/// A queue, and its name as long as this process made it.
class Queue {
 public:
  Queue(std::string name, bool create, const Setup& setup) : name_(std::move(name)), created_(create) {
    const int flags = O_RDWR | O_CLOEXEC | (setup.spins() ? O_NONBLOCK : 0);
    // As many messages as there may be, up to a megabyte's worth.
    for (long messages = static_cast<long>(std::clamp(kLargest / setup.size(), std::size_t{8}, std::size_t{8192}));
         messages > 0; messages /= 2) {
      mq_attr attributes{};
      attributes.mq_maxmsg = messages;
      attributes.mq_msgsize = static_cast<long>(setup.size());
      queue_ = create ? ::mq_open(name_.c_str(), flags | O_CREAT | O_EXCL, 0600, &attributes)
                      : ::mq_open(name_.c_str(), flags);
      if (queue_ >= 0) return;
    }
    fail("cannot open a POSIX message queue");
  }
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  ~Queue() {
    ::mq_close(queue_);
    if (created_) ::mq_unlink(name_.c_str());
  }
  mqd_t get() const { return queue_; }

 private:
  std::string name_;
  bool created_;
  mqd_t queue_ = -1;
};

class PosixEnd {
 public:
  explicit PosixEnd(const Setup& setup) : buffer_(setup.size()) {
    const bool client = setup.role == Role::client;
    // Unique among all measurements of this machine: the directory is.
    const std::string owner = std::filesystem::path(setup.job().directory).parent_path().filename().string() + "-" +
                              std::to_string(setup.job().number);
    for (unsigned i = client ? 0 : setup.index; i < (client ? setup.subscribers() : setup.index + 1); ++i) {
      out_.push_back(std::make_unique<Queue>(queue_name(owner, i, client ? "to" : "from"), !client, setup));
      in_.push_back(std::make_unique<Queue>(queue_name(owner, i, client ? "from" : "to"), !client, setup));
    }
    if (!client) setup.bound();
  }
  void send(Bytes message) {
    for (const auto& queue : out_) {
      until_done("cannot send to a POSIX message queue", [&] {
        return ::mq_send(queue->get(), reinterpret_cast<const char*>(message.data()), message.size(), 0);
      });
    }
  }
  template <typename Take>
  void receive(Take take) {
    const std::size_t n = until_done("cannot receive from a POSIX message queue", [&] {
      return ::mq_receive(in_[0]->get(), reinterpret_cast<char*>(buffer_.data()), buffer_.size(), nullptr);
    });
    take(Bytes(buffer_.data(), n));
  }

 private:
  std::vector<std::byte> buffer_;
  std::vector<std::unique_ptr<Queue>> out_, in_;
};

}  // namespace

Contender posix_queue() {
  return make_contender<PosixEnd>("posix mq", {.fans_out = true, .largest = longest_message()});
}

}  // namespace slotwire::bench
