// Certificates for tests: made on the spot, in a directory that goes away with the object.
#pragma once
#include <memory>
#include <string>

#include "core/carriers/tls.hpp"

namespace slotwire::test {

/// A certificate authority of its own, valid for a day. Throws std::runtime_error when OpenSSL or the disk refuses.
class TestCertificates {
 public:
  TestCertificates();
  ~TestCertificates();
  TestCertificates(const TestCertificates&) = delete;
  TestCertificates& operator=(const TestCertificates&) = delete;

  enum class Flaw { none, expired, not_yet_valid, for_servers_alone };

  /// A key and a certificate that names `node` (subjectAltName), signed by this authority, and this authority as the
  /// CA.
  carriers::TlsFiles make(const std::string& node, Flaw flaw = Flaw::none);
  /// A list of revoked certificates by this authority that is to be replaced after so many seconds. Its file.
  std::string make_list(long valid_s, bool revokes_last_made = false);
  /// The same as a context.
  std::shared_ptr<const carriers::TlsContext> context(const std::string& node, Flaw flaw = Flaw::none);
  /// The authority's certificate file.
  std::string ca() const { return directory_ + "/ca.pem"; }
  const std::string& directory() const { return directory_; }

 private:
  struct Authority;
  std::string directory_;
  std::unique_ptr<Authority> authority_;
};

}  // namespace slotwire::test
