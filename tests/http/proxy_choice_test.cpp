#include "runtime/http/proxy_choice.hpp"

#include <gtest/gtest.h>

#include <map>

namespace slotwire::http {
namespace {

std::string choose(const std::string& url, const std::map<std::string, std::string>& variables) {
  return proxy_of_environment(Url::parse(url).value(), [&](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  });
}

TEST(ProxyChoice, IsThatOfTheScheme) {
  const std::map<std::string, std::string> both{{"http_proxy", "a:1"}, {"https_proxy", "b:2"}};
  EXPECT_EQ(choose("http://host/", both), "a:1");
  EXPECT_EQ(choose("https://host/", both), "b:2");
  EXPECT_EQ(choose("http://host/", {{"all_proxy", "c:3"}}), "c:3");
  EXPECT_EQ(choose("https://host/", {{"HTTPS_PROXY", "b:2"}}), "b:2");
  EXPECT_EQ(choose("http://host/", {}), "");
}

TEST(ProxyChoice, IgnoresHttpProxyInUpperCase) {
  EXPECT_EQ(choose("http://host/", {{"HTTP_PROXY", "evil:1"}}), "");
}

TEST(ProxyChoice, HeedsExceptions) {
  EXPECT_EQ(choose("http://host/", {{"http_proxy", "a:1"}, {"no_proxy", "host"}}), "");
  EXPECT_EQ(choose("http://host/", {{"http_proxy", "a:1"}, {"NO_PROXY", "*"}}), "");
  EXPECT_EQ(choose("http://host/", {{"http_proxy", "a:1"}, {"no_proxy", "other"}}), "a:1");
}

TEST(ProxyChoice, UnderstandsLists) {
  EXPECT_TRUE(excluded("a, example.com", "www.example.com"));
  EXPECT_TRUE(excluded(".example.com", "example.com"));
  EXPECT_TRUE(excluded("EXAMPLE.com", "www.Example.COM"));
  EXPECT_FALSE(excluded("example.com", "notexample.com"));
  EXPECT_TRUE(excluded("10.0.0.0/8", "10.1.2.3"));
  EXPECT_FALSE(excluded("10.0.0.0/8", "11.1.2.3"));
  EXPECT_TRUE(excluded("::1", "::1"));
  EXPECT_TRUE(excluded("192.0.2.1", "192.0.2.1"));
  EXPECT_FALSE(excluded("", "host"));
  EXPECT_FALSE(excluded(" ,, ", "host"));
}

TEST(Url, HasItsParts) {
  const Url url = Url::parse("https://user:pa%3Ass@host/path?x=1").value();
  EXPECT_TRUE(url.tls);
  EXPECT_EQ(url.host, "host");
  EXPECT_EQ(url.port, 443);
  EXPECT_EQ(url.path, "/path?x=1");
  EXPECT_EQ(url.user, "user");
  EXPECT_EQ(url.password, "pa:ss");
  EXPECT_EQ(url.text(), "https://host:443/path?x=1");
  EXPECT_EQ(Url::parse("http://[::1]:81/").value().host, "::1");
  EXPECT_EQ(Url::parse("http://[::1]:81/").value().origin(), "http://[::1]:81");
  EXPECT_EQ(Url::parse("proxy:3128", "http").value().port, 3128);
}

TEST(Url, SaysWhatIsWrong) {
  for (const char* const text : {"", "host/path", "ftp://host/", "http://", "socks5://host:1", "http://host:99999/"}) {
    const auto url = Url::parse(text);
    ASSERT_FALSE(url.ok()) << text;
    EXPECT_NE(url.error().text.find("expected http://"), std::string::npos) << url.error().text;
  }
}

}  // namespace
}  // namespace slotwire::http
