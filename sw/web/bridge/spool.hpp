// Bodies of requests whose length is not known, kept in files until they are complete: FastCGI has no other way.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/slot/memory.hpp"
#include "slotwire_web.hpp"
#include "web/bridge/loop.hpp"

namespace slotwire::web::bridge {

struct SpoolOptions {
  std::string directory = "/var/tmp";
  std::uint64_t max_body = std::uint64_t{64} << 20U;  ///< bytes of one request; 413 beyond
  std::uint64_t max_total = std::uint64_t{1} << 30U;  ///< bytes of all; refused as not processed beyond
};

/// A body in a file without a name, which goes with it. Read once, from the beginning.
class SpooledBody {
 public:
  /// `total`: bytes of all bodies, which this one's are added to and taken from.
  SpooledBody(slot::Fd file, std::shared_ptr<std::uint64_t> total);
  ~SpooledBody();
  SpooledBody(const SpooledBody&) = delete;
  SpooledBody& operator=(const SpooledBody&) = delete;

  /// False: errno says why not.
  bool append(std::span<const std::byte> bytes);
  std::uint64_t size() const { return size_; }
  /// The next bytes; none at the end. Status::broken: the file cannot be read.
  Result<std::span<const std::byte>> peek();
  void consume(std::size_t bytes);

 private:
  slot::Fd file_;
  std::shared_ptr<std::uint64_t> total_;
  std::uint64_t size_ = 0, read_ = 0;
  std::vector<std::byte> piece_;
  std::size_t piece_at_ = 0;
};

/// One thread.
class Spools {
 public:
  using Note = std::function<void(const std::string&)>;
  using Done = std::function<void(const ExchangePtr&, std::shared_ptr<SpooledBody>)>;

  Spools(Loop& loop, SpoolOptions options, Note note);

  /// Takes the body of the request, then calls `done`; not at all when the request is over before, or was answered
  /// because a limit forbids its body.
  void take(const ExchangePtr& exchange, Done done);
  /// Bodies that are not complete.
  std::size_t filling() const { return filling_.size(); }

 private:
  struct Filling {
    ExchangePtr exchange;
    std::shared_ptr<SpooledBody> body;
    Done done;
  };
  using Place = std::list<Filling>::iterator;

  slot::Fd open_file() const;
  void fill(Place place);
  /// Whether the bytes were taken; if not, the request was answered.
  bool add(const Filling& filling, std::span<const std::byte> bytes);
  void drop(Place place);

  Loop& loop_;
  SpoolOptions options_;
  Note note_;
  std::shared_ptr<std::uint64_t> total_ = std::make_shared<std::uint64_t>(0);
  std::list<Filling> filling_;
};

}  // namespace slotwire::web::bridge
