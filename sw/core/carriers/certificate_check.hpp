// What can be said of a node's own certificate, CA and list of revoked certificates before any peer sees them.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/carriers/tls.hpp"

namespace slotwire::carriers {

struct CertificateVerdict {
  std::string problem;                ///< peers would refuse this node, or it all of them; empty: neither
  std::vector<std::string> warnings;  ///< it holds now, and will not for long
};

/// Certificates that end within this time are warned of, and lists of revoked ones that are to be replaced within the
/// other.
inline constexpr std::int64_t kCertificateWarningS = 7 * 86'400;
inline constexpr std::int64_t kListWarningS = 86'400;

/// Verifies the own certificate of `context` as a peer does that has the same CA and the same list: for both roles, and
/// that it names `node`. `names`: what the files are called in the texts. `now_s`: seconds since 1970.
CertificateVerdict check_own_certificate(const TlsContext& context, const TlsFiles& names, const std::string& node,
                                         std::int64_t now_s);

}  // namespace slotwire::carriers
