// FastCGI as the bridge speaks it: records, and which script a path means.
#include <gtest/gtest.h>

#include <string>

#include "web/bridge/fastcgi.hpp"

namespace slotwire::web::bridge::fastcgi {
namespace {

TEST(FastCgi, RecordsAreReadAsTheyAreWritten) {
  std::string text;
  append_header(text, Type::standard_input, 0x1234);
  ASSERT_EQ(text.size(), kHeaderBytes);
  Record record;
  ASSERT_TRUE(decode_header(text, record));
  EXPECT_EQ(record.type, Type::standard_input);
  EXPECT_EQ(record.content, 0x1234U);
  EXPECT_EQ(record.padding, 0U);
  text[0] = 2;
  EXPECT_FALSE(decode_header(text, record)) << "another version";
  text[0] = 1;
  text[3] = 2;
  EXPECT_FALSE(decode_header(text, record)) << "another request";
}

TEST(FastCgi, ParametersHaveShortAndLongLengths) {
  std::string params;
  append_param(params, "A", "b");
  EXPECT_EQ(params, std::string("\x01\x01"
                                "Ab"));
  params.clear();
  append_param(params, "A", std::string(300, 'x'));
  EXPECT_EQ(params.substr(0, 5), std::string("\x01\x80\x00\x01\x2c", 5));
  EXPECT_EQ(params.size(), 1 + 4 + 1 + 300U);
  std::string records;
  append_params(records, std::string(kMostContent + 10, 'p'));
  EXPECT_EQ(records.size(), 3 * kHeaderBytes + kMostContent + 10);
}

TEST(FastCgi, PathsMeanScripts) {
  const ScriptOptions options;
  const auto find = [&](std::string_view target) { return find_script(target, options); };
  EXPECT_EQ(find("/").name, "/index.php");
  EXPECT_EQ(find("/a/").name, "/a/index.php");
  EXPECT_EQ(find("/a.php?x=/b.php/").name, "/a.php");
  EXPECT_EQ(find("/a.php?x=y").query, "x=y");
  EXPECT_EQ(find("/a.php/b/c").name, "/a.php");
  EXPECT_EQ(find("/a.php/b/c").path_info, "/b/c");
  EXPECT_EQ(find("/%61.php").name, "/a.php");
  EXPECT_EQ(find("//x//./y/../a.php").name, "/x/a.php");
  EXPECT_EQ(find("/a.txt").status, 404);
  EXPECT_EQ(find("/a.phpx").status, 404);
}

TEST(FastCgi, PathsThatLeadElsewhereAreRefused) {
  const ScriptOptions options;
  for (const char* const target : {"/../a.php", "/a/../../a.php", "/%2e%2e/a.php", "/..%2fa.php", "/a%00.php",
                                   "/a%0.php", "/a%zz.php", "/a%", "http://x/a.php", "*"}) {
    EXPECT_EQ(find_script(target, options).status, 400) << target;
  }
}

TEST(FastCgi, AFrontScriptAnswersWhatNamesNone) {
  ScriptOptions options;
  options.front = "/index.php";
  const Script script = find_script("/wiki/start?do=edit", options);
  EXPECT_EQ(script.status, 0);
  EXPECT_EQ(script.name, "/index.php");
  EXPECT_EQ(script.document_uri, "/wiki/start");
  EXPECT_EQ(script.query, "do=edit");
}

}  // namespace
}  // namespace slotwire::web::bridge::fastcgi
