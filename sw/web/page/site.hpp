// The page's HTTP server: the files of the page, what it shows as JSON, and metrics.
#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "web/page/login.hpp"
#include "web/page/snapshot.hpp"

namespace slotwire::web {

struct SiteOptions {
  std::vector<std::string> hosts;  ///< names beside addresses and "localhost" that a browser may use; "*": any
  bool open_metrics = false;       ///< /metrics needs no token
  std::size_t connections = 64;
};

/// One thread, that of the io_context.
class Site {
 public:
  Site(boost::asio::io_context& loop, boost::asio::ip::tcp::endpoint address, SiteOptions options, Login login,
       Snapshots& snapshots);
  ~Site();
  Site(const Site&) = delete;
  Site& operator=(const Site&) = delete;

  /// Where it listens, the port that the kernel chose included.
  boost::asio::ip::tcp::endpoint address() const;

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

/// Whether a Host header names this site as it may be named: a foreign name may be a DNS name that its owner has turned
/// to this address to read the page with somebody's browser.
bool is_own_host(std::string_view host, const std::vector<std::string>& names);

}  // namespace slotwire::web
