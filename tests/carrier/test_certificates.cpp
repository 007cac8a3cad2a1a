#include "test_certificates.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <stdexcept>

namespace slotwire::test {
namespace {

template <typename T, void (*free_it)(T*)>
struct Free {
  void operator()(T* object) const { free_it(object); }
};
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY, EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Free<X509, X509_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Free<X509_EXTENSION, X509_EXTENSION_free>>;

constexpr long kDaySeconds = 86400;

void check(bool good, const char* what) {
  if (!good) throw std::runtime_error(std::string("test certificates: OpenSSL cannot ") + what);
}

struct FileClose {
  void operator()(FILE* file) const { std::fclose(file); }
};

std::unique_ptr<FILE, FileClose> create(const std::string& path) {
  std::unique_ptr<FILE, FileClose> file(std::fopen(path.c_str(), "we"));
  check(file != nullptr, ("write " + path).c_str());
  return file;
}

Key make_key() {
  Key key(EVP_EC_gen("P-256"));
  check(key != nullptr, "make a key");
  return key;
}

void extend(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context{};
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  check(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1, "add an extension");
}

Certificate make_certificate(const std::string& name, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key, long serial,
                             TestCertificates::Flaw flaw = TestCertificates::Flaw::none) {
  using Flaw = TestCertificates::Flaw;
  Certificate certificate(X509_new());
  check(certificate != nullptr, "make a certificate");
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial);
  const long late = flaw == Flaw::expired ? -2 * kDaySeconds : flaw == Flaw::not_yet_valid ? 2 * kDaySeconds : 0;
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), late - kDaySeconds);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), late + kDaySeconds);
  X509_set_pubkey(certificate.get(), key);
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  const auto* text = reinterpret_cast<const unsigned char*>(name.c_str());
  check(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, text, -1, -1, 0) == 1, "name a certificate");
  X509* const signer = issuer != nullptr ? issuer : certificate.get();
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(signer));
  if (issuer == nullptr) {
    extend(certificate.get(), signer, NID_basic_constraints, "critical,CA:TRUE");
  } else {
    extend(certificate.get(), signer, NID_subject_alt_name, "DNS:" + name);
    if (flaw == Flaw::for_servers_alone) extend(certificate.get(), signer, NID_ext_key_usage, "serverAuth");
  }
  check(X509_sign(certificate.get(), issuer_key, EVP_sha256()) > 0, "sign a certificate");
  return certificate;
}

void write(const std::string& path, X509* certificate) {
  check(PEM_write_X509(create(path).get(), certificate) == 1, "write a certificate");
}

}  // namespace

struct TestCertificates::Authority {
  Key key;
  Certificate certificate;
  long serial = 1;
};

TestCertificates::TestCertificates() : authority_(std::make_unique<Authority>()) {
  std::string path = (std::filesystem::temp_directory_path() / "slotwire-certificates-XXXXXX").string();
  check(mkdtemp(path.data()) != nullptr, "make a temporary directory");
  directory_ = path;
  authority_->key = make_key();
  authority_->certificate =
      make_certificate("test authority", authority_->key.get(), nullptr, authority_->key.get(), 1);
  write(ca(), authority_->certificate.get());
}

TestCertificates::~TestCertificates() {
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

carriers::TlsFiles TestCertificates::make(const std::string& node, Flaw flaw) {
  const Key key = make_key();
  const Certificate certificate = make_certificate(node, key.get(), authority_->certificate.get(),
                                                   authority_->key.get(), ++authority_->serial, flaw);
  const carriers::TlsFiles files{directory_ + "/" + node + ".pem", directory_ + "/" + node + ".key", ca(), {}};
  write(files.certificate, certificate.get());
  check(PEM_write_PrivateKey(create(files.key).get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1,
        "write a key");
  return files;
}

std::string TestCertificates::make_list(long valid_s, bool revokes_last_made) {
  const std::unique_ptr<X509_CRL, Free<X509_CRL, X509_CRL_free>> list(X509_CRL_new());
  const std::unique_ptr<ASN1_TIME, Free<ASN1_TIME, ASN1_TIME_free>> made(X509_gmtime_adj(nullptr, -kDaySeconds / 2));
  const std::unique_ptr<ASN1_TIME, Free<ASN1_TIME, ASN1_TIME_free>> next(X509_gmtime_adj(nullptr, valid_s));
  check(list && made && next, "make a list");
  X509_CRL_set_version(list.get(), X509_CRL_VERSION_2);
  X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(authority_->certificate.get()));
  X509_CRL_set1_lastUpdate(list.get(), made.get());
  X509_CRL_set1_nextUpdate(list.get(), next.get());
  if (revokes_last_made) {
    const std::unique_ptr<ASN1_INTEGER, Free<ASN1_INTEGER, ASN1_INTEGER_free>> serial(ASN1_INTEGER_new());
    X509_REVOKED* const revoked = X509_REVOKED_new();
    check(serial && revoked != nullptr, "revoke a certificate");
    ASN1_INTEGER_set(serial.get(), authority_->serial);
    X509_REVOKED_set_serialNumber(revoked, serial.get());
    X509_REVOKED_set_revocationDate(revoked, made.get());
    check(X509_CRL_add0_revoked(list.get(), revoked) == 1, "revoke a certificate");
  }
  check(X509_CRL_sign(list.get(), authority_->key.get(), EVP_sha256()) > 0, "sign a list");
  const std::string path = directory_ + "/crl.pem";
  check(PEM_write_X509_CRL(create(path).get(), list.get()) == 1, "write a list");
  return path;
}

std::shared_ptr<const carriers::TlsContext> TestCertificates::context(const std::string& node, Flaw flaw) {
  return std::make_shared<const carriers::TlsContext>(make(node, flaw));
}

}  // namespace slotwire::test
