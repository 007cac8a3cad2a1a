// What a node can know of its own certificate before a peer sees it.
#include "core/carriers/certificate_check.hpp"

#include <gtest/gtest.h>

#include <ctime>
#include <stdexcept>

#include "test_certificates.hpp"

namespace slotwire::carriers {
namespace {

using Flaw = test::TestCertificates::Flaw;

constexpr long kHourS = 3'600, kMonthS = 30 * 86'400L;

class CertificateCheck : public testing::Test {
 protected:
  static CertificateVerdict look(const TlsFiles& files, const std::string& node = "left") {
    return check_own_certificate(TlsContext(files), files, node, std::time(nullptr));
  }
  static void expect_problem(const TlsFiles& files, const std::string& what) {
    const CertificateVerdict verdict = look(files);
    EXPECT_NE(verdict.problem.find(what), std::string::npos) << verdict.problem;
  }
  TlsFiles with_list(long valid_s) {
    TlsFiles files = ours.make("left");
    files.crl = ours.make_list(valid_s);
    return files;
  }
  test::TestCertificates ours, theirs;
};

TEST_F(CertificateCheck, OneThatHoldsHasNoProblem) {
  EXPECT_EQ(look(ours.make("left")).problem, "");
  EXPECT_EQ(look(with_list(kMonthS)).problem, "");
}

TEST_F(CertificateCheck, OneOfAnotherNodeIsAProblem) {
  expect_problem(ours.make("right"), "does not name node 'left'");
}

TEST_F(CertificateCheck, OneOfAnotherAuthorityIsAProblem) {
  TlsFiles files = ours.make("left");
  files.ca = theirs.ca();
  expect_problem(files, "does not verify against CA '" + theirs.ca() + "'");
}

TEST_F(CertificateCheck, OneThatPeersWouldRefuseForItsTimeOrPurposeIsAProblem) {
  expect_problem(ours.make("left", Flaw::expired), "has expired");
  expect_problem(ours.make("left", Flaw::not_yet_valid), "is not valid yet");
  expect_problem(ours.make("left", Flaw::for_servers_alone), "not meant for both TLS servers and clients");
}

TEST_F(CertificateCheck, AKeyOfAnotherCertificateIsRefused) {
  TlsFiles files = ours.make("left");
  files.key = ours.make("right").key;
  EXPECT_THROW(static_cast<void>(TlsContext(files)), std::runtime_error);
}

TEST_F(CertificateCheck, AListThatLetsNoPeerInIsAProblem) {
  expect_problem(with_list(-kHourS), "is out of date");
  TlsFiles files = ours.make("left");
  files.crl = theirs.make_list(kMonthS);
  expect_problem(files, "is not one of the CA");
  files.crl = ours.make_list(kMonthS, true);
  expect_problem(files, "is revoked");
}

TEST_F(CertificateCheck, WhatEndsSoonIsWarnedOf) {
  // The test's certificates hold for a day.
  const CertificateVerdict soon = look(with_list(2 * kHourS));
  EXPECT_EQ(soon.problem, "");
  ASSERT_EQ(soon.warnings.size(), 2U);
  EXPECT_NE(soon.warnings[0].find("expires in 2"), std::string::npos) << soon.warnings[0];
  EXPECT_NE(soon.warnings[1].find("is out of date in "), std::string::npos) << soon.warnings[1];
  EXPECT_EQ(look(with_list(kMonthS)).warnings.size(), 1U) << "a list that is replaced in a month is none";
}

}  // namespace
}  // namespace slotwire::carriers
