// A pipe in each direction, of 1 MiB. A batch is one write.
#include "byte_stream.hpp"
#include "registry.hpp"
#include "sides.hpp"

namespace slotwire::bench {
namespace {

constexpr int kPipeBytes = 1 << 20;

class PipeEnd {
 public:
  explicit PipeEnd(const Setup& setup) {
    const bool client = setup.role == Role::client;
    for (unsigned i = client ? 0 : setup.index; i < (client ? setup.subscribers() : setup.index + 1); ++i) {
      std::vector<slot::Fd> ends = share_descriptors(setup, i, 4, [] { return make_pipes(); });
      // 0 and 1 are the pipe to the server, 2 and 3 the one back; each side closes the ends that it does not use.
      ends[client ? 0 : 1].reset();
      ends[client ? 3 : 2].reset();
      streams_.emplace_back(setup, ends[client ? 2 : 0].get(), ends[client ? 1 : 3].get());
      for (slot::Fd& end : ends) fds_.push_back(std::move(end));
    }
  }
  void send(Bytes message) {
    for (const ByteStream& stream : streams_) stream.write_all(message);
  }
  void send_batch(Bytes all, std::size_t /*size*/) { streams_[0].write_all(all); }
  template <typename Take>
  void receive(Take take) {
    streams_[0].receive(take);
  }
  template <typename Take>
  void receive_some(Take take) {
    streams_[0].receive_some(take);
  }

 private:
  static std::vector<slot::Fd> make_pipes() {
    std::vector<slot::Fd> ends;
    for (int i = 0; i < 2; ++i) {
      int pipe[2];
      if (::pipe2(pipe, O_CLOEXEC) != 0) fail("cannot create a pipe");
      ::fcntl(pipe[0], F_SETPIPE_SZ, kPipeBytes);
      ends.emplace_back(pipe[0]);
      ends.emplace_back(pipe[1]);
    }
    return ends;
  }
  std::vector<slot::Fd> fds_;
  std::vector<ByteStream> streams_;
};

}  // namespace

Contender pipes() {
  return make_contender<PipeEnd>("pipe", {.fans_out = true});
}

}  // namespace slotwire::bench
