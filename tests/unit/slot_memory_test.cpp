// Space files: seals, mirrored mappings, and descriptors that are not what they should be.
#include "core/slot/memory.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <system_error>
#include <vector>

namespace {
using namespace slotwire;
using slot::Access;
using slot::Fd;
using slot::Space;

TEST(SlotMemory, ASpaceFileIsOnePageOfMarksAndARingOfWholePages) {
  EXPECT_EQ(slot::space_file_bytes(0), 8192U);
  EXPECT_EQ(slot::space_file_bytes(6), 8192U);
  EXPECT_EQ(slot::space_file_bytes(7), 4096U + 8192U);
  EXPECT_EQ(slot::space_file_bytes(15), 4096U + (2U << 20));
}

TEST(SlotMemory, ARingIsMappedTwiceInARow) {
  for (const unsigned order : {6U, 8U, 15U}) {
    const Fd file = slot::create_sealed_file("test", slot::space_file_bytes(order));
    const Space space(file.get(), order, Access::read_write);
    ASSERT_TRUE(space.mirrored());
    const std::size_t bytes = std::size_t{space.lines()} * regs::kLineBytes;
    for (std::size_t i = 0; i < bytes; i += 61) space.ring()[i] = static_cast<std::byte>(i % 251);
    EXPECT_EQ(std::memcmp(space.ring(), space.ring() + bytes, bytes), 0) << "order " << order;
    space.ring()[bytes] = std::byte{0xfe};
    EXPECT_EQ(space.ring()[0], std::byte{0xfe});
  }
}

TEST(SlotMemory, ASmallRingIsMappedOnce) {
  for (unsigned order = 0; order < Space::kFirstMirroredOrder; ++order) {
    const Fd file = slot::create_sealed_file("test", slot::space_file_bytes(order));
    const Space space(file.get(), order, Access::read_write);
    EXPECT_FALSE(space.mirrored());
    EXPECT_EQ(space.lines(), 1U << order);
    space.ring()[(std::size_t{space.lines()} * regs::kLineBytes) - 1] = std::byte{1};
  }
}

TEST(SlotMemory, TwoMappingsOfOneFileShareMarksAndLines) {
  const Fd file = slot::create_sealed_file("test", slot::space_file_bytes(6));
  const Space writer(file.get(), 6, Access::read_write);
  const Fd copy = slot::read_only_copy(file);
  const Space reader(copy.get(), 6, Access::read_only);
  writer.marks().tail.store(77);
  writer.ring()[100] = std::byte{9};
  EXPECT_EQ(reader.marks().tail.load(), 77U);
  EXPECT_EQ(reader.ring()[100], std::byte{9});
}

TEST(SlotMemory, AReadOnlyCopyCannotBeMappedWritable) {
  const Fd file = slot::create_sealed_file("test", slot::space_file_bytes(6));
  const Fd copy = slot::read_only_copy(file);
  EXPECT_THROW(Space(copy.get(), 6, Access::read_write), std::system_error);
  EXPECT_THROW(slot::map_file(copy.get(), 4096, Access::read_write), std::system_error);
}

TEST(SlotMemory, ASealedFileKeepsItsSizeAndItsSeals) {
  const Fd file = slot::create_sealed_file("test", 8192);
  EXPECT_NE(::ftruncate(file.get(), 4096), 0);
  EXPECT_NE(::ftruncate(file.get(), 16384), 0);
  EXPECT_NE(::fcntl(file.get(), F_ADD_SEALS, F_SEAL_WRITE), 0);
  EXPECT_EQ(slot::check_sealed_file(file.get(), 8192), "");
}

TEST(SlotMemory, HostileDescriptorsAreRefused) {
  struct Case {
    const char* what;
    Fd fd;
    const char* says;
  };
  const auto memfd = [](std::size_t bytes, int seals) {
    Fd fd(::memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(bytes)), 0);
    if (seals != 0) {
      EXPECT_EQ(::fcntl(fd.get(), F_ADD_SEALS, seals), 0);
    }
    return fd;
  };
  const auto ordinary = [] {
    std::FILE* file = std::tmpfile();
    Fd fd(::dup(::fileno(file)));
    std::fclose(file);
    EXPECT_EQ(::ftruncate(fd.get(), 8192), 0);
    return fd;
  };
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const Fd other_end(ends[1]);
  constexpr int kAll = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  std::vector<Case> cases;
  cases.push_back({"too small", memfd(4096, kAll), "4096 bytes instead of 8192"});
  cases.push_back({"too large", memfd(8193, kAll), "8193 bytes instead of 8192"});
  cases.push_back({"not sealed", memfd(8192, 0), "not sealed"});
  cases.push_back({"may shrink", memfd(8192, F_SEAL_GROW | F_SEAL_SEAL), "not sealed"});
  cases.push_back({"may grow", memfd(8192, F_SEAL_SHRINK | F_SEAL_SEAL), "not sealed"});
  cases.push_back({"a file on a disk", ordinary(), "not"});
  cases.push_back({"a pipe", Fd(ends[0]), "bytes instead"});
  cases.push_back({"no descriptor", Fd(-1), "cannot be examined"});
  for (const Case& c : cases) {
    EXPECT_NE(slot::check_sealed_file(c.fd.get(), 8192).find(c.says), std::string::npos)
        << c.what << ": " << slot::check_sealed_file(c.fd.get(), 8192);
    EXPECT_THROW(Space(c.fd.get(), 6, Access::read_write), std::invalid_argument) << c.what;
  }
  const Fd good = memfd(8192, kAll);
  EXPECT_THROW(Space(good.get(), 16, Access::read_write), std::invalid_argument) << "an order beyond the largest";
}

TEST(SlotMemory, DescriptorsAndMappingsHaveOneOwner) {
  Fd first = slot::create_sealed_file("test", 8192);
  const int number = first.get();
  Fd second = std::move(first);
  EXPECT_FALSE(first);
  EXPECT_EQ(second.get(), number);
  second = Fd();
  EXPECT_EQ(::fcntl(number, F_GETFD), -1) << "closed with its owner";

  const Fd file = slot::create_sealed_file("test", slot::space_file_bytes(6));
  Space a(file.get(), 6, Access::read_write);
  std::byte* const ring = a.ring();
  const Space b = std::move(a);
  EXPECT_EQ(b.ring(), ring);
  EXPECT_FALSE(a);
}

}  // namespace
