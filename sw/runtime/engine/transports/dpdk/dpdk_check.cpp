#include "runtime/engine/transports/dpdk/dpdk_check.hpp"

#include <algorithm>
#include <string>

#include "core/carriers/dpdk/dpdk.hpp"
#include "runtime/engine/config/config_values.hpp"

namespace slotwire::engine {

void check_dpdk_node(const Config& config, const ReportProblem& report) {
  const DpdkConfig& d = config.dpdk;
  const bool sealed = std::any_of(config.links.begin(), config.links.end(), [](const LinkConfig& link) {
    return link.carrier == "dpdk" && link.encryption != carriers::CipherSuite::none;
  });
  if (config.encryption.library == CipherChoice::dpdk && !sealed) {
    report("encryption.library",
           "is \"dpdk\" but no encrypted link has carrier = \"dpdk\", and on others OpenSSL computes; remove it");
  }
  if (!d.lcores.empty() && d.port.empty()) {
    report("dpdk.lcores", "is given but there is no port whose queues they would serve; set 'dpdk.port', or remove it");
  }
  if (d.kernel_interface.size() > carriers::kMaxInterfaceName ||
      d.kernel_interface.find_first_of("/ \t\n") != std::string::npos) {
    report("dpdk.kernel_interface", "is no name of an interface: at most " +
                                        std::to_string(carriers::kMaxInterfaceName) +
                                        " characters, none of them a space or '/'");
  }
  if (!d.kernel_interface.empty() && (d.port.rfind("net_af_packet", 0) == 0 || d.port.rfind("net_af_xdp", 0) == 0)) {
    report("dpdk.kernel_interface", "is given but the kernel has the interface under '" +
                                        d.port.substr(0, d.port.find(',')) +
                                        "' itself, with all that is not the port's; remove it");
  }
  const auto is_ipv4 = [](const std::string& host) {
    return is_numeric_host(host) && host.find(':') == std::string::npos;
  };
  if (!d.address) {
    if (!d.port.empty()) report("dpdk.address", "is missing although there is a port; give it an IPv4 address");
    return;
  }
  if (d.port.empty()) report("dpdk.port", "is missing although there is an address; name the port");
  if (!is_ipv4(d.address->host) || d.address->port == 0) {
    report("dpdk.address", "is " + to_string(*d.address) + "; expected is an IPv4 address and a port from 1 to 65535");
  }
  if (!d.gateway.empty() && !is_ipv4(d.gateway)) {
    report("dpdk.gateway", "is \"" + printable(d.gateway) + "\"; expected is an IPv4 address");
  }
  if (config.listen.mtu > carriers::kMaxDpdkMtu) {
    report("listen.mtu", "is " + std::to_string(config.listen.mtu) + ", but a port carries IP packets of at most " +
                             std::to_string(carriers::kMaxDpdkMtu) + " bytes; lower it on all nodes");
  }
}

void check_dpdk_link(const Config& config, const LinkConfig& link, const ReportProblem& report) {
  if (config.dpdk.port.empty()) {
    report("carrier", "is \"dpdk\" but there is no port; set 'dpdk.port' and 'dpdk.address', or use carrier = \"udp\"");
  }
  if (link.encryption != carriers::CipherSuite::none && !config.dpdk.lcores.empty()) {
    report("encryption",
           "is \"" + std::string(carriers::suite_name(link.encryption)) +
               "\" but the link's slots are divided among the threads of 'dpdk.lcores', and the frames of an encrypted "
               "link are numbered by one; remove 'dpdk.lcores', use carrier = \"udp\" or \"tcp\" for this link, or "
               "encryption = \"none\"");
  }
}

}  // namespace slotwire::engine
