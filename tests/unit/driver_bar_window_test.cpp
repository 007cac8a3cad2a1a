// A window that is mapped, and what a window must show: a file stands for the BAR.
#include "driver/bus/bar_window.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "driver/bus/window_check.hpp"
#include "temporary_directory.hpp"

namespace slotwire::driver {
namespace {

constexpr std::size_t kOffset = 0x100000, kWindow = std::size_t{1} << regs::kWindowBits;

class BarWindowTest : public testing::Test {
 protected:
  BarWindowTest() {
    directory.write("bar", "");
    std::filesystem::resize_file(directory.path() / "bar", kOffset + kWindow);
  }
  std::string bar() const { return (directory.path() / "bar").string(); }
  std::string refusal(WindowDevice& window) {
    try {
      check_window(window);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  }
  test::TemporaryDirectory directory;
};

constexpr std::uint32_t card(std::size_t offset) {
  return static_cast<std::uint32_t>(regs::kWindowCapabilities + offset);
}

TEST_F(BarWindowTest, RegistersAreWhereTheShellHasThem) {
  {
    BarWindow window(bar(), kOffset);
    window.write(regs::kShellBank, 0x01020304);
    EXPECT_EQ(window.read(regs::kShellBank), 0x01020304U);
  }
  const std::string contents = directory.read("bar");
  EXPECT_EQ(contents.substr(kOffset + regs::kShellBank, 4), "\x04\x03\x02\x01");
}

TEST_F(BarWindowTest, WhatIsNoBarIsRefusedWithARemedy) {
  EXPECT_THROW(BarWindow(bar() + "x", kOffset), std::runtime_error);
  EXPECT_THROW(BarWindow(bar(), kOffset + 4096), std::runtime_error);
}

TEST_F(BarWindowTest, AWindowMustShowACardOfThisVersion) {
  BarWindow window(bar(), kOffset);
  EXPECT_NE(refusal(window).find("not of this release"), std::string::npos);
  window.write(regs::kShellMagic, regs::kShellMagicValue);
  EXPECT_NE(refusal(window).find("no Slotwire card"), std::string::npos);
  window.write(card(regs::kCapMagic), regs::kCapMagicValue);
  window.write(card(regs::kCapVersion), regs::kCapVersionValue + 1);
  EXPECT_NE(refusal(window).find("version 2 of the registers"), std::string::npos);
  window.write(card(regs::kCapVersion), regs::kCapVersionValue);
  EXPECT_NE(refusal(window).find("makes no sense"), std::string::npos);
  window.write(card(regs::kCapSlots), 4097);
  window.write(card(regs::kCapMemoryLines), 65536);
  EXPECT_NE(refusal(window).find("makes no sense"), std::string::npos);
  window.write(card(regs::kCapSlots), 64);
  EXPECT_EQ(refusal(window), "");
  EXPECT_EQ(check_window(window).memory_lines, 65536U);
}

}  // namespace
}  // namespace slotwire::driver
