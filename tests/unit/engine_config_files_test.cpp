// What a configuration names beyond itself: files, a user, keys that no parser should see.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <set>

#include "runtime/engine/config/config.hpp"
#include "runtime/engine/config/config_files.hpp"
#include "runtime/engine/config/config_keys.hpp"
#include "runtime/engine/config/deep_key.hpp"
#include "runtime/engine/host/log.hpp"
#include "temporary_directory.hpp"

namespace slotwire::engine {
namespace {

class EngineConfigFiles : public testing::Test {
 protected:
  std::vector<std::string> found(const std::string& text, FileCheck how = FileCheck::opened) {
    directory.write("a.toml", "[node]\nname = \"a\"\n" + text + "\n");
    try {
      load_config_and_files(directory.path() / "a.toml", how);
    } catch (const ConfigError& error) {
      return error.problems();
    }
    return {};
  }
  std::string place(int line, const std::string& key) const {
    return (directory.path() / "a.toml").string() + ":" + std::to_string(line) + ":" +
           std::to_string(key.substr(key.find('.') + 1).size() + 4) + ": key '" + key + "': ";
  }
  test::TemporaryDirectory directory;
};

TEST_F(EngineConfigFiles, EachThatIsMissingIsReportedWithItsPlace) {
  for (const std::string_view full : checked_file_keys()) {
    const std::string key(full), section = key.substr(0, key.find('.')), name = key.substr(key.find('.') + 1);
    std::string text = "[" + section + "]\n" + name + " = \"missing/file\"";
    if (key == "http.proxy_password_file") text += "\nproxy_user = \"me\"";
    if (section == "tls") {
      for (const char* other : {"certificate", "key", "ca"}) {
        if (name != other) text += "\n" + std::string(other) + " = \"there\"";
      }
      directory.write("there", "x");
    }
    const std::vector<std::string> problems = found(text);
    ASSERT_EQ(problems.size(), 1U) << key;
    EXPECT_EQ(problems[0].find(place(4, key) + "cannot "), 0U) << problems[0];
    EXPECT_NE(problems[0].find("missing/file': No such file or directory"), std::string::npos) << problems[0];
  }
}

TEST_F(EngineConfigFiles, DirectoriesThatCannotBeMadeAreReported) {
  directory.write("file", "x");
  const auto run_dir = [&](const std::string& path) {
    return found("run_dir = \"" + (directory.path() / path).string() + "\"", FileCheck::complete);
  };
  EXPECT_TRUE(run_dir("new").empty()) << "one that is made";
  EXPECT_TRUE(run_dir(".").empty()) << "one that is there";
  for (const auto& [path, why] : {std::pair{"missing/new", "is no directory; correct the path"},
                                  std::pair{"file", "is no directory"}, std::pair{"file/new", "cannot be made"}}) {
    const std::vector<std::string> problems = run_dir(path);
    ASSERT_EQ(problems.size(), 1U) << path;
    EXPECT_NE(problems[0].find("key 'node.run_dir': '"), std::string::npos) << problems[0];
    EXPECT_NE(problems[0].find(why), std::string::npos) << problems[0];
  }
  EXPECT_FALSE(std::filesystem::exists(directory.path() / "new")) << "a check makes nothing";
}

TEST_F(EngineConfigFiles, WhatWouldHoldUpItsReaderIsReported) {
  const std::string fifo = (directory.path() / "fifo").string();
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  directory.write("there", "x");
  EXPECT_NE(found("[tls]\ncertificate = \"there\"\nkey = \"there\"\nca = \"there\"\ncrl = \"fifo\"")
                .at(0)
                .find("no regular file"),
            std::string::npos);
  EXPECT_NE(found("[http]\nca = \"fifo\"").at(0).find("no regular file"), std::string::npos);
  EXPECT_NE(found("[log]\nfile = \"fifo\"").at(0).find("neither a file nor a device"), std::string::npos);
  EXPECT_TRUE(found("[log]\nfile = \"/dev/null\"").empty());
  LogConfig log;
  log.file = fifo;
  EXPECT_THROW(Log(log, "a"), std::runtime_error) << "it does not wait for a reader";
}

// Each part is a table within a table for the parser, which ends the process when there are 50,000.
TEST_F(EngineConfigFiles, AKeyWithTooManyPartsIsRefused) {
  std::string parts = "a", quoted = "\"a\"";
  for (int i = 0; i < 50'000; ++i) {
    parts += ".a";
    quoted += " . 'a'";
  }
  for (const std::string& text :
       {parts + " = 1", quoted + " = 1", "[" + parts + "]", "[[" + quoted + "]]", "x = {y = 1, " + parts + " = 1}",
        "x = [{" + quoted + " = 1}]", "x = \"\"\"\n\"\" \\\"\"\"\"\"\n" + parts + " = 1",
        "x = '' # '\n" + parts + " = 1"}) {
    const std::vector<std::string> problems = found(text);
    ASSERT_EQ(problems.size(), 1U);
    EXPECT_NE(problems[0].find("more than 16 parts"), std::string::npos) << problems[0].substr(0, 300);
  }
  EXPECT_EQ(found("\n" + parts + " = 1").at(0).find((directory.path() / "a.toml").string() + ":4:32: "), 0U);
  // Dots that are none of a key's.
  EXPECT_FALSE(deep_key("# " + parts));
  EXPECT_FALSE(deep_key("a = \"" + parts + "\"\nb = '" + parts + "'\nc = \"\"\"\n" + parts + "\n\"\"\"\nd = \"\\\"" +
                        parts + "\""));
  EXPECT_FALSE(deep_key("a = [" + std::string(100, ' ') +
                        "1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5]"));
}

TEST_F(EngineConfigFiles, AUserThatThereIsNotIsReported) {
  const std::vector<std::string> problems = found("[gate]\nuser = \"no-such-user\"");
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_EQ(problems[0].find(place(4, "gate.user") + "there is no user 'no-such-user' on this host"), 0U)
      << problems[0];
  EXPECT_TRUE(found("[gate]\nuser = \"root\"").empty());
}

TEST_F(EngineConfigFiles, EveryKeyWithAFileIsLookedAt) {
  // These are directories and sockets, which are made or waited for when slotwired starts.
  const std::set<std::string> others{"node.run_dir", "node.control_socket", "card.xrt", "card.socket",
                                     "card.vfio_user"};
  const std::vector<std::string_view> checked = checked_file_keys();
  for (const Key& key : config_keys()) {
    const std::string full = std::string(key.section) + "." + std::string(key.name);
    const bool known = others.contains(full) || std::find(checked.begin(), checked.end(), full) != checked.end();
    EXPECT_EQ(key.kind == Kind::path, known) << full;
  }
}

TEST_F(EngineConfigFiles, FilesOfAnotherKindAreReported) {
  EXPECT_NE(found("[http]\nca = \"/\"").at(0).find("it is no regular file"), std::string::npos);
  directory.write("empty", "");
  EXPECT_NE(found("[http]\nca = \"empty\"").at(0).find("has no certificate in PEM form"), std::string::npos);
  EXPECT_NE(found("[http]\nproxy_user = \"me\"\nproxy_password_file = \"empty\"").at(0).find("first line"),
            std::string::npos);
  EXPECT_EQ(found("[log]\nfile = \"/\"").at(0).find(place(4, "log.file") + "cannot write '/': Is a directory"), 0U);
  const std::string tls = "[tls]\ncertificate = \"empty\"\nkey = \"empty\"\nca = \"empty\"";
  EXPECT_TRUE(found(tls).empty());
  EXPECT_EQ(found(tls, FileCheck::complete).at(0).find(place(4, "tls.certificate")), 0U);
  EXPECT_FALSE(std::filesystem::exists(directory.path() / "log"));
  EXPECT_TRUE(found("[log]\nfile = \"log\"").empty());
  EXPECT_FALSE(std::filesystem::exists(directory.path() / "log")) << "a check makes no file";
}

}  // namespace
}  // namespace slotwire::engine
