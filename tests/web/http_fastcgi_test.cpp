// FastCGI as the bridge speaks it: records, which script a path means, and the status of a response.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "web/bridge/fastcgi.hpp"
#include "web/bridge/fastcgi_status.hpp"

namespace slotwire::web::bridge::fastcgi {
namespace {

/// Where only the names of scripts are known.
ScriptOptions unseen() {
  ScriptOptions options;
  options.sees_root = false;
  return options;
}

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
}

TEST(FastCgi, AParameterIsInOneRecordAsAWhole) {
  std::string params;
  for (const std::size_t size : {60'000, 60'000, 100, 5'000}) append_param(params, "NAME", std::string(size, 'v'));
  std::string records;
  ASSERT_TRUE(append_params(records, params));
  std::vector<std::size_t> sizes;
  for (std::string_view rest = records; !rest.empty();) {
    Record record;
    ASSERT_TRUE(decode_header(rest, record));
    sizes.push_back(record.content);
    rest.remove_prefix(kHeaderBytes + record.content);
  }
  constexpr std::size_t kLong = 1 + 4 + 4;  // two lengths and the name
  EXPECT_EQ(sizes, (std::vector<std::size_t>{60'000 + kLong, 60'000 + kLong + 100 + kLong - 3 + 5'000 + kLong, 0}));
  params.clear();
  append_param(params, "A", "b");
  append_param(params, "NAME", std::string(kMostContent - kLong, 'v'));
  EXPECT_TRUE(append_params(records, params));
  append_param(params, "NAME", std::string(kMostContent - kLong + 1, 'v'));
  records = "before";
  EXPECT_FALSE(append_params(records, params));
  EXPECT_EQ(records, "before");
}

TEST(FastCgi, ATargetThatNoRecordHolds) {
  ScriptOptions options = unseen();
  options.root = "/srv";
  EXPECT_EQ(find_script("/a.php?" + std::string(60'000, 'q'), options).status, 0);
  EXPECT_EQ(find_script("/a.php?" + std::string(kMostContent, 'q'), options).status, 414);
  EXPECT_EQ(find_script("/" + std::string(kMostContent, 'q') + ".php", options).status, 414);
}

/// A root with files.
class FastCgiFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "slotwire-scripts-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    options.root = name;
    for (const char* const directory : {"/sub", "/dir.php", "/empty"})
      std::filesystem::create_directory(options.root + directory);
    for (const char* const file : {"/index.php", "/a.php", "/sub/index.php", "/sub/a.php", "/data.txt",
                                   "/dir.php/b.php", "/dir.php/index.php", "/sub/upload.png"})
      std::ofstream(options.root + file) << "x";
    std::filesystem::create_symlink("a.php", options.root + "/link.php");
    std::filesystem::create_symlink("nowhere", options.root + "/dangling.php");
    std::filesystem::create_symlink("loop.php", options.root + "/loop.php");
    std::filesystem::create_directory_symlink("sub", options.root + "/linked");
  }
  void TearDown() override { std::filesystem::remove_all(options.root); }

  /// "name path_info", or the status.
  std::string find(std::string_view target) const {
    const Script script = find_script(target, options);
    return script.status != 0 ? std::to_string(script.status) : script.name + " " + script.path_info;
  }

  ScriptOptions options;
};

TEST_F(FastCgiFiles, ThePathIsSplitAtTheScriptThatExists) {
  EXPECT_EQ(find("/"), "/index.php ");
  EXPECT_EQ(find("/sub/"), "/sub/index.php ");
  EXPECT_EQ(find("/a.php"), "/a.php ");
  EXPECT_EQ(find("/sub/a.php/b/c.php/"), "/sub/a.php /b/c.php/");
  EXPECT_EQ(find("/dir.php/b.php/x"), "/dir.php/b.php /x") << "a directory is no script";
  EXPECT_EQ(find("/dir.php/"), "/dir.php/index.php ");
  EXPECT_EQ(find("/link.php/x"), "/link.php /x");
  EXPECT_EQ(find("/linked/a.php"), "/linked/a.php ");
  EXPECT_EQ(find("/linked/"), "/linked/index.php ");
}

TEST_F(FastCgiFiles, WhatIsNoFileIsNeverAScript) {
  for (const std::string& front : {std::string(), std::string("/index.php")}) {
    options.front = front;
    for (const char* const target :
         {"/data.txt/x.php", "/data.txt/x.php/y", "/data.txt/", "/data.txt/x", "/sub/upload.png/.php",
          "/sub/upload.png/a/b.php", "/none.php", "/none.php/", "/none.php/a.php", "/none/x.php", "/dangling.php",
          "/dangling.php/x", "/loop.php", "/dir.php/none.php", "/data.txt%2fx.php"}) {
      EXPECT_EQ(find(target), "404") << target << " " << front;
    }
    const std::string otherwise = front.empty() ? "404" : "/index.php ";
    for (const char* const target : {"/data.txt", "/sub", "/dir.php", "/empty/", "/blog/post/", "/blog/post"})
      EXPECT_EQ(find(target), otherwise) << target;
  }
  EXPECT_EQ(find("/" + std::string(5000, 'a') + ".php"), "404");
}

TEST_F(FastCgiFiles, TheScriptsOfOptionsAreFilesToo) {
  options.front = "/none.php";
  EXPECT_EQ(find("/blog/post"), "404");
  EXPECT_NE(find_script("/blog/post", options).problem.find("--front '/none.php'"), std::string::npos);
  options.only = "/data.txt/x.php";
  EXPECT_EQ(find("/a.php"), "404");
  options.only = "/a.php";
  EXPECT_EQ(find("/data.txt/x.php"), "/a.php ");
  std::filesystem::remove(options.root + "/a.php");
  EXPECT_EQ(find("/index.php"), "404") << "it was there before";
  options.only.clear();
  options.suffix = ".txt";
  EXPECT_EQ(find("/data.txt/x.txt"), "/data.txt /x.txt");
}

TEST_F(FastCgiFiles, AServerMaySeeTheRootElsewhere) {
  options.local_root = options.root;
  options.root = "/var/www/html";
  EXPECT_EQ(find("/a.php/x"), "/a.php /x");
  EXPECT_EQ(find("/data.txt/x.php"), "404");
  std::filesystem::remove_all(options.local_root + "/sub");
  options.sees_root = false;
  EXPECT_EQ(find("/sub/a.php/x/"), "/sub/a.php /x/") << "by the name alone";
  EXPECT_EQ(find("/sub/"), "/sub/index.php ");
  options.front = "/f.php";
  EXPECT_EQ(find("/sub/"), "/f.php ");
  options.root = options.local_root;
}

TEST(FastCgi, PathsMeanScripts) {
  const ScriptOptions options = unseen();
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

TEST(FastCgi, APathBehindAScriptHasNoIndex) {
  struct Case {
    std::string target, name, path_info;
  };
  ScriptOptions options = unseen();
  for (const std::string& front : {std::string(), std::string("/front.php")}) {
    options.front = front;
    for (const Case& one :
         {Case{"/index.php/foo/", "/index.php", "/foo/"}, Case{"/index.php/", "/index.php", "/"},
          Case{"/sub/a.php/foo/", "/sub/a.php", "/foo/"}, Case{"/index.php/foo/?a=b/", "/index.php", "/foo/"},
          Case{"/index.php//foo//", "/index.php", "/foo/"}, Case{"/index.php/a/.", "/index.php", "/a/"},
          Case{"/index.php/blog/2024.php/post/", "/index.php", "/blog/2024.php/post/"}}) {
      const Script script = find_script(one.target, options);
      EXPECT_EQ(script.status, 0) << one.target;
      EXPECT_EQ(script.name, one.name) << one.target;
      EXPECT_EQ(script.path_info, one.path_info) << one.target;
      EXPECT_TRUE(script.document_uri.ends_with('/')) << one.target;
    }
  }
}

TEST(FastCgi, PathsThatLeadElsewhereAreRefused) {
  const ScriptOptions options = unseen();
  for (const char* const target : {"/../a.php", "/a/../../a.php", "/%2e%2e/a.php", "/..%2fa.php", "/a%00.php",
                                   "/a%0.php", "/a%zz.php", "/a%", "http://x/a.php", "*"}) {
    EXPECT_EQ(find_script(target, options).status, 400) << target;
  }
}

TEST(FastCgi, AFrontScriptAnswersWhatNamesNone) {
  ScriptOptions options = unseen();
  options.front = "/index.php";
  const Script script = find_script("/wiki/start?do=edit", options);
  EXPECT_EQ(script.status, 0);
  EXPECT_EQ(script.name, "/index.php");
  EXPECT_EQ(script.document_uri, "/wiki/start");
  EXPECT_EQ(script.query, "do=edit");
}

TEST(FastCgi, OneScriptAnswersWhateverThePathNames) {
  ScriptOptions options = unseen();
  options.only = "/index.php";
  for (const char* const target : {"/", "/blog/", "/other.php", "/other.php/x", "/other.php%2fx", "/sub/", "/a.txt"}) {
    const Script script = find_script(target, options);
    EXPECT_EQ(script.status, 0) << target;
    EXPECT_EQ(script.name, "/index.php") << target;
    EXPECT_EQ(script.path_info, "") << target;
  }
  EXPECT_EQ(find_script("/../a", options).status, 400);
}

/// A record of request 1 with padding, which PHP-FPM sends.
std::string record(Type type, const std::string& content, char padding = 3) {
  std::string text;
  append_header(text, type, content.size());
  constexpr std::size_t kPadding = 6;
  text[kPadding] = padding;
  return text + content + std::string(static_cast<std::size_t>(padding), 'p');
}
const std::string kEnd = record(Type::end_request, std::string(8, '\0'), 0);

TEST(FastCgiStatus, IsReadInPiecesOfEverySize) {
  struct Case {
    std::string head;
    unsigned status;
  };
  for (const Case& one :
       {Case{"Content-type: text/plain\r\n\r\n", 200}, Case{"Status: 503 Gone away\r\nX: y\r\n\r\n", 503},
        Case{"Location: /x\n\n", 302}, Case{"Location: /x\r\nstatus:404\r\n\r\n", 404},
        Case{"Status: 204\r\nLocation: /x\r\n\r\n", 204}, Case{"\r\n", 200}}) {
    const std::string text =
        record(Type::standard_error, "a word") + record(Type::standard_output, one.head.substr(0, 1)) +
        record(Type::standard_output, one.head.substr(1) + "pong") + record(Type::standard_output, "") + kEnd;
    for (std::size_t size = 1; size <= text.size(); ++size) {
      StatusReader reader;
      StatusReader::State state = StatusReader::State::incomplete;
      for (std::size_t at = 0; at < text.size() && state == StatusReader::State::incomplete; at += size)
        state = reader.feed(std::string_view(text).substr(at, size));
      ASSERT_EQ(state, StatusReader::State::complete) << one.head << reader.problem();
      ASSERT_EQ(reader.status(), one.status) << one.head;
    }
  }
}

TEST(FastCgiStatus, HalfAResponseIsNone) {
  const std::string half = record(Type::standard_output, "Content-type: text/plain\r\n\r\npo");
  StatusReader reader;
  EXPECT_EQ(reader.feed(half), StatusReader::State::incomplete);
  EXPECT_TRUE(reader.has_head());
  for (int i = 0; i < 20; ++i) {  // a body of any length
    ASSERT_EQ(reader.feed(record(Type::standard_output, std::string(10000, 'b'))), StatusReader::State::incomplete);
  }
  EXPECT_EQ(reader.feed(kEnd.substr(0, kEnd.size() - 1)), StatusReader::State::incomplete);
  EXPECT_EQ(reader.feed(kEnd.substr(kEnd.size() - 1)), StatusReader::State::complete);
  EXPECT_EQ(reader.status(), 200U);
  StatusReader refused;
  EXPECT_EQ(refused.feed(half + record(Type::end_request, std::string("\0\0\0\0\1\0\0\0", 8), 0)),
            StatusReader::State::invalid);
  EXPECT_EQ(refused.problem(), "it refused the request");
}

TEST(FastCgiStatus, WhatIsNoResponseSaysWhy) {
  const auto problem = [](const std::string& text) {
    StatusReader reader;
    EXPECT_EQ(reader.feed(text), StatusReader::State::invalid) << reader.problem();
    return reader.problem();
  };
  EXPECT_EQ(problem("HTTP/1.1 200 OK"), "it sent what is no FastCGI record of this request");
  EXPECT_EQ(problem(kEnd), "it ended the request without a response");
  EXPECT_EQ(problem(record(Type::end_request, std::string("\0\0\0\0\2\0\0\0", 8), 0)), "it has no child to spare");
  EXPECT_EQ(problem(record(Type::standard_output, "Status: x\n\n")), "its response has an invalid Status field");
  EXPECT_EQ(problem(record(Type::standard_output, std::string(StatusReader::kMostHead + 1, 'x'))),
            "the head of its response is too large");
  std::string errors;
  while (errors.size() <= StatusReader::kMostBefore) errors += record(Type::standard_error, std::string(10000, 'e'));
  EXPECT_EQ(problem(errors), "no head of a response is in what it sent");
}

}  // namespace
}  // namespace slotwire::web::bridge::fastcgi
