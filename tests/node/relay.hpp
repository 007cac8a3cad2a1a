// Somebody between two nodes' UDP carriers: sees every datagram, and loses, doubles, changes, keeps and repeats them.
#pragma once
#include <netinet/in.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/slot/memory.hpp"

namespace slotwire::test {

/// Two sockets on loopback addresses of its own; what comes to one leaves by the other. Works in a thread of its own
/// from its making to its end. Members that are atomic may be changed while it does.
class Relay {
 public:
  using Bytes = std::vector<std::byte>;
  /// `left` and `right`: IPv4 addresses of the nodes, whose carriers have port 7401.
  Relay(const std::string& left, const std::string& right);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  /// Where side 0 (left) or 1 (right) finds the other's carrier: here.
  std::string address_for(int side) const { return addresses_[side]; }

  std::atomic<unsigned> lose{0}, twice{0}, change{0};  ///< of 1000 datagrams

  /// What was forwarded to a side; changed and doubled ones are not counted twice.
  std::uint64_t forwarded(int side) const { return forwarded_[side]; }
  std::uint64_t lost() const { return lost_; }
  std::uint64_t changed() const { return changed_; }
  std::uint64_t doubled() const { return doubled_; }
  /// Datagrams of the nodes that did not begin as encrypted ones do.
  std::uint64_t clear() const { return clear_; }
  /// Times that a node sent the key and sequence that it had sent before.
  std::uint64_t repeated() const { return repeated_; }
  std::size_t keys() const;
  /// The first datagrams that went to a side, at most kKept.
  std::vector<Bytes> kept(int side) const;
  /// Sends to a side as if the other node had.
  void inject(int side, const Bytes& datagram) const;

  static constexpr std::size_t kKept = 2000;

 private:
  void run();
  void carry(int from, const Bytes& datagram);

  slot::Fd sockets_[2], stop_;  ///< of a side: what it sends to
  std::string addresses_[2];
  sockaddr_in nodes_[2];
  std::atomic<std::uint64_t> forwarded_[2]{}, lost_{0}, changed_{0}, doubled_{0}, clear_{0}, repeated_{0};
  mutable std::mutex mutex_;
  std::set<Bytes> seen_;  ///< side, key and sequence
  std::map<Bytes, std::uint64_t> keys_;
  std::vector<Bytes> kept_[2];
  std::mt19937_64 random_{11};
  std::thread thread_;
};

}  // namespace slotwire::test
