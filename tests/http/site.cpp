#include "site.hpp"

#include <chrono>
#include <future>

namespace slotwire::test {
namespace {

constexpr std::chrono::seconds kWait{20};

}  // namespace

http::Bytes bytes_of(std::string_view text) {
  const auto* const first = reinterpret_cast<const std::byte*>(text.data());
  return {first, first + text.size()};
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Site::Site(const Adjust& adjust) {
  http::ServerOptions options;
  options.addresses = {carriers::Address::parse("127.0.0.1:0")};
  options.paths = {"/s"};
  if (adjust) adjust(options);
  server_ = std::make_unique<http::Server>(loop_, std::move(options), static_cast<http::ServerHandler&>(*this));
  port_ = server_->addresses().front().port();
  thread_ = std::thread([this] { loop_.run(); });
}

Site::~Site() {
  loop_.stop();
  thread_.join();
}

bool Site::wait(const std::function<bool()>& what) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kWait, what);
}

bool Site::wait_held(std::size_t count) {
  return wait([&] { return held_ever_ >= count; });
}
bool Site::wait_gone(std::size_t count) {
  return wait([&] { return gone_ >= count; });
}
bool Site::wait_channels_closed(std::size_t count) {
  return wait([&] { return channels_closed_ >= count; });
}

bool Site::wait_counters(const std::function<bool(const http::ServerCounters&)>& what) {
  const auto end = std::chrono::steady_clock::now() + kWait;
  // Counters tell nobody that they change; each look waits for a turn of the loop, which is what changes them.
  while (!what(counters())) {
    if (std::chrono::steady_clock::now() > end) return false;
  }
  return true;
}

void Site::in_loop(const std::function<void()>& call) {
  std::promise<void> done;
  loop_.post([&] {
    call();
    done.set_value();
  });
  done.get_future().wait();
}

void Site::release(const std::string& body) {
  in_loop([&] {
    const http::RequestId id = held_.front();
    held_.erase(held_.begin());
    server_->answer(id, 200, bytes_of(body));
  });
}

void Site::refuse_held(unsigned status, const std::string& text) {
  in_loop([&] {
    const http::RequestId id = held_.front();
    held_.erase(held_.begin());
    server_->refuse(id, status, text);
  });
}

http::ServerCounters Site::counters() {
  http::ServerCounters counters;
  in_loop([&] { counters = server_->counters(); });
  return counters;
}

std::vector<std::string> Site::sources() {
  const std::lock_guard lock(mutex_);
  return sources_;
}

std::size_t Site::requests() {
  return static_cast<std::size_t>(counters().requests);
}

void Site::on_request(http::RequestId id, http::Request&& request) {
  const std::lock_guard lock(mutex_);
  sources_.push_back(request.peer.source.to_string());
  if (request.peer.path == "/s/hold") {
    held_.push_back(id);
    ++held_ever_;
  } else if (request.peer.path == "/s/large") {
    server_->answer(id, 200, http::Bytes(kLargeBytes));
  } else {
    server_->answer(id, 200, std::move(request.body));
  }
  changed_.notify_all();
}

void Site::on_gone(http::RequestId id) {
  const std::lock_guard lock(mutex_);
  std::erase(held_, id);
  ++gone_;
  changed_.notify_all();
}

void Site::on_channel(http::ChannelId, const http::Peer& peer) {
  const std::lock_guard lock(mutex_);
  sources_.push_back(peer.source.to_string());
}

void Site::on_message(http::ChannelId id, std::span<const std::byte> message) {
  server_->send(id, http::Bytes(message.begin(), message.end()));
}

void Site::on_channel_closed(http::ChannelId) {
  const std::lock_guard lock(mutex_);
  ++channels_closed_;
  changed_.notify_all();
}

}  // namespace slotwire::test
