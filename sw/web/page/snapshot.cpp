#include "web/page/snapshot.hpp"

#include <algorithm>
#include <utility>

#include "runtime/control/messages.hpp"

namespace slotwire::web {

void AnswerTimes::add(double seconds) {
  const auto bound = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
  ++buckets_.at(static_cast<std::size_t>(bound - kBounds.begin()));
  ++count_;
  sum_ += seconds;
}

std::array<std::uint64_t, AnswerTimes::kBounds.size() + 1> AnswerTimes::cumulative() const {
  auto sums = buckets_;
  for (std::size_t i = 1; i < sums.size(); ++i) sums.at(i) += sums.at(i - 1);
  return sums;
}

Snapshots::Snapshots(std::string socket, std::chrono::milliseconds lifetime)
    : socket_(std::move(socket)), lifetime_(lifetime), thread_([this] { run(); }) {}

Snapshots::~Snapshots() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Snapshots::get(std::function<void(SnapshotPtr)> done) {
  {
    const std::lock_guard lock(mutex_);
    asked_.push_back(std::move(done));
  }
  changed_.notify_one();
}

void Snapshots::run() {
  while (true) {
    std::vector<std::function<void(SnapshotPtr)>> now;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stopping_ || !asked_.empty(); });
      if (stopping_) return;
      now.swap(asked_);
    }
    if (last_ == nullptr || std::chrono::steady_clock::now() - taken_ >= lifetime_) {
      last_ = look();
      taken_ = std::chrono::steady_clock::now();
    }
    for (auto& done : now) done(last_);
  }
}

SnapshotPtr Snapshots::look() {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->when = std::chrono::system_clock::now();
  try {
    if (!client_) client_.emplace(socket_);
    const auto start = std::chrono::steady_clock::now();
    snapshot->node = client_->ask(control::StatusRequest{});
    answer_times_.add(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    snapshot->slots = client_->ask_all<control::SlotsRequest>();
    snapshot->sessions = client_->ask_all<control::SessionsRequest>();
    snapshot->figures = client_->ask_all<control::FiguresRequest>();
    snapshot->inspections = client_->ask_all<control::InspectionsRequest>();
  } catch (const std::exception& error) {
    // Whatever it was, the next look connects anew.
    client_.reset();
    ++failures_;
    snapshot->node = nullptr;
    snapshot->slots = snapshot->sessions = snapshot->figures = snapshot->inspections = control::Json::array();
    snapshot->trouble = error.what();
  }
  snapshot->answer_times = answer_times_;
  snapshot->failures = failures_;
  return snapshot;
}

}  // namespace slotwire::web
