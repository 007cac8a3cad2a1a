// Links over a network port that slotwired drives itself, with DPDK; encrypted where the configuration says so.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/carriers/dpdk/dpdk.hpp"
#include "runtime/engine/transports/sealed_links.hpp"
#include "runtime/engine/transports/transport.hpp"

namespace slotwire::engine {

extern const TransportKind kDpdkTransport;

class DpdkTransport final : public Transport {
 public:
  explicit DpdkTransport(const TransportContext& context);

  std::string_view name() const override { return "dpdk"; }
  std::vector<driver::WorkerPlace> workers() override;
  void use_card(NodeCard& card, std::span<const LinkInfo> links) override;
  void start() override;
  void fill_hello(const LinkInfo& link, const carriers::Address& peer, control::PeerHello& hello) override;
  void route(const LinkInfo& link, const control::PeerHello& hello, const carriers::Address& from) override;
  carriers::LinkKeys* keys(std::uint16_t link) override { return sealed_->keys(link); }
  void wake_keys(std::uint16_t /*link*/) override { sealed_->wake(); }
  bool take_key_news() override { return sealed_->take_news(); }
  std::string complaint(std::uint16_t link) const override {
    const auto known = routed_.find(link);
    return known == routed_.end() ? std::string() : known->second.mismatch;
  }
  int family() const override { return AF_INET; }
  void shut_out(std::uint16_t link) override;
  void report(nlohmann::json& carriers) override;

 private:
  void open_port();
  void choose_ciphers();
  carriers::CipherLibrary& library() const { return ciphers_ ? *ciphers_ : carriers::openssl_ciphers(); }
  nlohmann::json port_report();

  TransportContext context_;
  std::unique_ptr<carriers::DpdkCarrier> carrier_;
  std::vector<std::string> advice_;
  std::unique_ptr<carriers::CipherLibrary> ciphers_;  ///< none: OpenSSL
  std::string ciphers_why_;                           ///< why it is the one, for people
  std::unique_ptr<SealedLinks> sealed_;
  NodeCard* card_ = nullptr;
  struct Route {
    std::vector<std::uint16_t> ports;  ///< that the peer wants frames on
    carriers::Address peer;
    std::uint16_t frame_lines = 0;  ///< that the peer takes
    std::string mismatch;           ///< for complaint()
    bool operator==(const Route&) const = default;
  };
  std::map<std::uint16_t, Route> routed_;
};

}  // namespace slotwire::engine
