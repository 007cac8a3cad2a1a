// Boost.Interprocess message_queue, one in each direction. Waiting by looking is try_receive().
#include <boost/interprocess/ipc/message_queue.hpp>

#include "registry.hpp"
#include "sides.hpp"

namespace slotwire::bench {
namespace {

using boost::interprocess::create_only;
using boost::interprocess::message_queue;
using boost::interprocess::open_only;

constexpr std::size_t kQueueBytes = std::size_t{2} << 20;

class BoostEnd {
 public:
  explicit BoostEnd(const Setup& setup) : spins_(setup.spins()), buffer_(setup.size()) {
    const bool client = setup.role == Role::client;
    const std::string owner = std::filesystem::path(setup.job().directory).parent_path().filename().string() + "-" +
                              std::to_string(setup.job().number);
    const std::size_t messages = std::clamp(kQueueBytes / setup.size(), std::size_t{8}, std::size_t{8192});
    for (unsigned i = client ? 0 : setup.index; i < (client ? setup.subscribers() : setup.index + 1); ++i) {
      const std::string name = owner + "-" + std::to_string(i);
      if (client) {
        out_.push_back(std::make_unique<message_queue>(open_only, (name + "-to").c_str()));
        in_.push_back(std::make_unique<message_queue>(open_only, (name + "-from").c_str()));
      } else {
        names_ = {name + "-to", name + "-from"};
        in_.push_back(std::make_unique<message_queue>(create_only, names_[0].c_str(), messages, setup.size()));
        out_.push_back(std::make_unique<message_queue>(create_only, names_[1].c_str(), messages, setup.size()));
      }
    }
    if (!client) setup.bound();
  }
  BoostEnd(const BoostEnd&) = delete;
  BoostEnd& operator=(const BoostEnd&) = delete;
  ~BoostEnd() {
    for (const std::string& name : names_) message_queue::remove(name.c_str());
  }
  void send(Bytes message) {
    for (const auto& queue : out_) {
      if (!spins_) {
        queue->send(message.data(), message.size(), 0);
        continue;
      }
      while (!queue->try_send(message.data(), message.size(), 0)) pause_cpu();
    }
  }
  template <typename Take>
  void receive(Take take) {
    std::size_t n = 0;
    unsigned priority = 0;
    if (!spins_) {
      in_[0]->receive(buffer_.data(), buffer_.size(), n, priority);
    } else {
      while (!in_[0]->try_receive(buffer_.data(), buffer_.size(), n, priority)) pause_cpu();
    }
    take(Bytes(buffer_.data(), n));
  }

 private:
  bool spins_;
  std::vector<std::byte> buffer_;
  std::vector<std::string> names_;
  std::vector<std::unique_ptr<message_queue>> out_, in_;
};

}  // namespace

Contender boost_queue() {
  return make_contender<BoostEnd>("boost message_queue", {.fans_out = true});
}

}  // namespace slotwire::bench
