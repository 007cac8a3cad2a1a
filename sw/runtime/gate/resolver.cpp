#include "runtime/gate/resolver.hpp"

#include <netdb.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>

namespace slotwire::gate {
namespace {

std::optional<carriers::Address> numeric(const std::string& host) {
  try {
    const bool six = host.find(':') != std::string::npos;
    return carriers::Address::parse(six ? "[" + host + "]:0" : host + ":0");
  } catch (const std::runtime_error&) {
    return std::nullopt;
  }
}

}  // namespace

Resolver::Found look_up(const std::string& host, std::size_t most) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;  // one result an address, not one a protocol
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(error == 0 ? list : nullptr, &::freeaddrinfo);
  if (error != 0) return core::Error{"host '" + host + "' cannot be looked up: " + ::gai_strerror(error)};
  std::vector<carriers::Address> found;
  for (const addrinfo* entry = list; entry != nullptr && found.size() < most; entry = entry->ai_next) {
    const auto address = carriers::Address::from(entry->ai_addr, entry->ai_addrlen);
    if (address && std::find(found.begin(), found.end(), *address) == found.end()) found.push_back(*address);
  }
  if (found.empty()) return core::Error{"host '" + host + "' has no address"};
  return found;
}

Resolver::Resolver(std::size_t threads, std::size_t most, LookUp look_up)
    : most_(most), look_up_(std::move(look_up)), news_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!news_) carriers::throw_errno("making a descriptor for the resolver's news");
  for (std::size_t i = 0; i < threads; ++i) std::thread([this] { work(); }).detach();
}

void Resolver::resolve(const std::string& host, Done done) {
  if (const auto address = numeric(host)) return done(std::vector{*address});
  {
    const std::lock_guard lock(mutex_);
    if (jobs_.size() < kMaxWaiting) {
      jobs_.push_back({host, std::move(done)});
      more_.notify_one();
      return;
    }
  }
  done(core::Error{"host '" + host + "' is not looked up: too many names wait for the resolver"});
}

void Resolver::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    more_.wait(lock, [&] { return !jobs_.empty(); });
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    Found found = look_up_(job.host, most_);
    lock.lock();
    answers_.push_back({std::move(found), std::move(job.done)});
    const std::uint64_t one = 1;
    static_cast<void>(!::write(news_.get(), &one, sizeof one));
  }
}

void Resolver::take() {
  std::uint64_t count = 0;
  static_cast<void>(!::read(news_.get(), &count, sizeof count));
  std::vector<Answer> answers;
  {
    const std::lock_guard lock(mutex_);
    answers.swap(answers_);
  }
  for (const Answer& answer : answers) answer.done(answer.found);
}

}  // namespace slotwire::gate
