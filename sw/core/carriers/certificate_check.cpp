#include "core/carriers/certificate_check.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <array>
#include <memory>
#include <optional>
#include <utility>

namespace slotwire::carriers {
namespace {

constexpr std::int64_t kDayS = 86'400, kHourS = 3'600;

template <class T, void (*free_it)(T*)>
struct FreeBy {
  void operator()(T* object) const noexcept { free_it(object); }
};
using Verification = std::unique_ptr<X509_STORE_CTX, FreeBy<X509_STORE_CTX, X509_STORE_CTX_free>>;

/// Seconds from `now_s` to `then`; none: OpenSSL cannot read it.
std::optional<std::int64_t> seconds_to(const ASN1_TIME* then, std::int64_t now_s) {
  const std::unique_ptr<ASN1_TIME, FreeBy<ASN1_TIME, ASN1_TIME_free>> now(ASN1_TIME_set(nullptr, now_s));
  int days = 0, seconds = 0;
  if (!now || ASN1_TIME_diff(&days, &seconds, now.get(), then) != 1) return std::nullopt;
  return (days * kDayS) + seconds;
}

std::string in(std::int64_t seconds) {
  const auto some = [](std::int64_t count, const char* what) {
    return "in " + std::to_string(count) + " " + what + (count == 1 ? "" : "s");
  };
  return seconds >= 2 * kDayS ? some(seconds / kDayS, "day") : some(seconds / kHourS, "hour");
}

/// What is wrong, and what to do, by OpenSSL's verdict on the own certificate.
std::string problem_of(int verdict, const TlsFiles& names) {
  const std::string certificate = "certificate '" + names.certificate + "' ", list = "CRL '" + names.crl + "' ",
                    why = std::string(" (") + X509_verify_cert_error_string(verdict) + ")";
  switch (verdict) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return certificate + "or one that signed it has expired" + why +
             "; make a new one, or set the clock of this host";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return certificate + "or one that signed it is not valid yet" + why +
             "; set the clock of this host, or that of the host where it was made";
    case X509_V_ERR_CERT_REVOKED:
      return certificate + "is revoked by " + list + why + "; make a new certificate for this node";
    case X509_V_ERR_CRL_HAS_EXPIRED:
      return list + "is out of date" + why + ", so that no peer could connect; give a current one";
    case X509_V_ERR_CRL_NOT_YET_VALID:
      return list + "is not valid yet" + why + ", so that no peer could connect; set the clock of this host";
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
      return list + "is not one of the CA that signed certificate '" + names.certificate + "'" + why +
             ", so that no peer could connect; give that of the CA";
    case X509_V_ERR_INVALID_PURPOSE:
      return certificate + "is not meant for both TLS servers and clients" + why +
             "; its extended key usage, where it has one, must allow both";
    default:
      return certificate + "does not verify against CA '" + names.ca + "'" + why +
             ", so that peers with that CA would refuse it; give the CA that signed it";
  }
}

class Check {
 public:
  Check(const TlsContext& context, const TlsFiles& names, std::int64_t now_s)
      : context_(context.native()), names_(names), now_s_(now_s) {}

  /// As a peer in the other role does. Empty, or what is wrong.
  std::string verify(X509* own, const char* role) const {
    STACK_OF(X509)* chain = nullptr;
    SSL_CTX_get0_chain_certs(context_, &chain);
    const Verification check(X509_STORE_CTX_new());
    if (!check || X509_STORE_CTX_init(check.get(), SSL_CTX_get_cert_store(context_), own, chain) != 1 ||
        X509_STORE_CTX_set_default(check.get(), role) != 1) {
      return "certificate '" + names_.certificate + "' cannot be verified; give a certificate in PEM form";
    }
    X509_STORE_CTX_set_time(check.get(), 0, static_cast<time_t>(now_s_));
    if (X509_verify_cert(check.get()) == 1) return {};
    return problem_of(X509_STORE_CTX_get_error(check.get()), names_);
  }

  void warn_of_certificate(const X509* certificate, CertificateVerdict& verdict) const {
    const std::optional<std::int64_t> left = seconds_to(X509_get0_notAfter(certificate), now_s_);
    if (!left || *left >= kCertificateWarningS) return;
    verdict.warnings.push_back("certificate '" + names_.certificate + "' expires " + in(*left) +
                               "; put a new one in its place and reload slotwired");
  }

  void warn_of_lists(CertificateVerdict& verdict) const {
    const STACK_OF(X509_OBJECT)* const objects = X509_STORE_get0_objects(SSL_CTX_get_cert_store(context_));
    for (int i = 0; i < sk_X509_OBJECT_num(objects); ++i) {
      X509_CRL* const list = X509_OBJECT_get0_X509_CRL(sk_X509_OBJECT_value(objects, i));
      const ASN1_TIME* const next = list == nullptr ? nullptr : X509_CRL_get0_nextUpdate(list);
      if (next == nullptr) continue;
      const std::optional<std::int64_t> left = seconds_to(next, now_s_);
      if (!left || *left >= kListWarningS) continue;
      verdict.warnings.push_back("CRL '" + names_.crl + "' " +
                                 (*left < 0 ? "has one that is out of date, and peers of its CA are refused"
                                            : "is out of date " + in(*left) + ", and peers are refused from then on") +
                                 "; put a new one in its place and reload slotwired");
    }
  }

 private:
  SSL_CTX* context_;
  const TlsFiles& names_;
  std::int64_t now_s_;
};

}  // namespace

CertificateVerdict check_own_certificate(const TlsContext& context, const TlsFiles& names, const std::string& node,
                                         std::int64_t now_s) {
  CertificateVerdict verdict;
  const Check check(context, names, now_s);
  X509* const own = SSL_CTX_get0_certificate(context.native());
  ERR_clear_error();
  if (own == nullptr) {
    verdict.problem = "there is no certificate in '" + names.certificate + "'";
    return verdict;
  }
  for (const char* const role : std::array{"ssl_server", "ssl_client"}) {
    if (verdict.problem.empty()) verdict.problem = check.verify(own, role);
  }
  if (verdict.problem.empty() &&
      X509_check_host(own, node.data(), node.size(), X509_CHECK_FLAG_NO_WILDCARDS, nullptr) != 1) {
    verdict.problem = "certificate '" + names.certificate + "' does not name node '" + node +
                      "', so that peers would refuse it; make one with subjectAltName = DNS:" + node;
  }
  ERR_clear_error();
  if (!verdict.problem.empty()) return verdict;
  check.warn_of_certificate(own, verdict);
  check.warn_of_lists(verdict);
  return verdict;
}

}  // namespace slotwire::carriers
