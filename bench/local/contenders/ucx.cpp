// UCX: tagged messages (UCP) between two workers, over shared memory alone (UCX_TLS=shm,self). Waiting by looking is
// ucp_worker_progress(), waiting asleep ucp_worker_wait().
#include <ucp/api/ucp.h>

#include <fstream>
#include <iterator>
#include <stdexcept>

#include "cluster.hpp"
#include "registry.hpp"
#include "sides.hpp"

namespace slotwire::bench {
namespace {

constexpr ucp_tag_t kTag = 1;

void checked(ucs_status_t status, const char* what) {
  if (status != UCS_OK) throw std::runtime_error(std::string(what) + ": " + ucs_status_string(status));
}

class UcxEnd {
 public:
  explicit UcxEnd(const Setup& setup) : spins_(setup.spins()), buffer_(setup.size()) {
    ucp_config_t* config = nullptr;
    checked(ucp_config_read(nullptr, nullptr, &config), "no configuration of UCX");
    checked(ucp_config_modify(config, "TLS", "shm,self"), "UCX takes no list of transports");
    ucp_params_t params{};
    params.field_mask = UCP_PARAM_FIELD_FEATURES;
    params.features = UCP_FEATURE_TAG | (spins_ ? 0 : static_cast<std::uint64_t>(UCP_FEATURE_WAKEUP));
    checked(ucp_init(&params, config, &context_), "UCX does not start");
    ucp_config_release(config);
    ucp_worker_params_t worker{};
    worker.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
    worker.thread_mode = UCS_THREAD_MODE_SINGLE;
    checked(ucp_worker_create(context_, &worker, &worker_), "no worker");
    exchange_addresses(setup);
  }
  UcxEnd(const UcxEnd&) = delete;
  UcxEnd& operator=(const UcxEnd&) = delete;
  ~UcxEnd() {
    ucp_worker_destroy(worker_);
    ucp_cleanup(context_);
  }

  void send(Bytes message) {
    ucp_request_param_t param{};
    wait(ucp_tag_send_nbx(peer_, message.data(), message.size(), kTag, &param), "cannot send");
  }
  template <typename Take>
  void receive(Take take) {
    ucp_request_param_t param{};
    param.op_attr_mask = UCP_OP_ATTR_FLAG_NO_IMM_CMPL;
    wait(ucp_tag_recv_nbx(worker_, buffer_.data(), buffer_.size(), kTag, UINT64_MAX, &param), "cannot receive");
    take(Bytes(buffer_));
  }

 private:
  void exchange_addresses(const Setup& setup) {
    const bool client = setup.role == Role::client;
    ucp_address_t* mine = nullptr;
    std::size_t length = 0;
    checked(ucp_worker_get_address(worker_, &mine, &length), "the worker has no address");
    const std::string path = setup.path(client ? "ucx-client" : "ucx-server");
    std::ofstream(path + ".new", std::ios::binary)
        .write(reinterpret_cast<const char*>(mine), static_cast<std::streamsize>(length));
    ucp_worker_release_address(worker_, mine);
    std::filesystem::rename(path + ".new", path);
    if (!client) setup.bound();
    const std::string theirs = setup.path(client ? "ucx-server" : "ucx-client");
    while (!std::filesystem::exists(theirs)) fault::pause_ms();
    std::ifstream file(theirs, std::ios::binary);
    const std::vector<char> address(std::istreambuf_iterator<char>(file), {});
    ucp_ep_params_t params{};
    params.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS;
    params.address = reinterpret_cast<const ucp_address_t*>(address.data());
    checked(ucp_ep_create(worker_, &params, &peer_), "no endpoint");
  }
  void wait(ucs_status_ptr_t request, const char* what) {
    if (request == nullptr) return;
    if (UCS_PTR_IS_ERR(request)) checked(UCS_PTR_STATUS(request), what);
    ucs_status_t status = UCS_INPROGRESS;
    while ((status = ucp_request_check_status(request)) == UCS_INPROGRESS) {
      if (ucp_worker_progress(worker_) == 0 && !spins_) checked(ucp_worker_wait(worker_), "cannot wait");
    }
    ucp_request_free(request);
    checked(status, what);
  }
  bool spins_;
  std::vector<std::byte> buffer_;
  ucp_context_h context_ = nullptr;
  ucp_worker_h worker_ = nullptr;
  ucp_ep_h peer_ = nullptr;
};

}  // namespace

Contender ucx() {
  return make_contender<UcxEnd>("ucx", {});
}

}  // namespace slotwire::bench
