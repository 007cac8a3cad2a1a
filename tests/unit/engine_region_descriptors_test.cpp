// The descriptors of a region's processes, lists and blocks, over directories and lists that are written by hand.
#include "runtime/engine/regions/region_descriptors.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <utility>

#include "runtime/blocks/region.hpp"

namespace slotwire::engine {
namespace {

constexpr std::uint32_t kAda = 3'000'001, kBob = 3'000'002, kEve = 3'000'003;
constexpr std::uint32_t kEntries = 8;
constexpr std::uint64_t kBlockOffset = 8192, kListBytes = 65536;

/// A list's file as an honest publisher makes it.
class List {
 public:
  explicit List(std::uint64_t serial)
      : file_(slot::create_sealed_file("test-list", kListBytes)),
        mapping_(slot::map_file(file_.get(), kListBytes, slot::Access::read_write)) {
    header().magic = blocks::kListMagic;
    header().version = blocks::kRegionVersion;
    header().entries = kEntries;
    header().serial = serial;
    header().block_offset = kBlockOffset;
    header().block_bytes = kListBytes - kBlockOffset;
  }
  void publish(blocks::BlockPlace place, std::uint64_t length) {
    const blocks::Position position = header().marks.tail.load();
    blocks::Entry<>& one = entry(position);
    one.length = length;
    one.place = blocks::entry_word(position, place);
    ++header().marks.tail;
  }
  blocks::ListHeader& header() { return *reinterpret_cast<blocks::ListHeader*>(mapping_.data()); }
  blocks::Entry<>& entry(blocks::Position position) {
    return reinterpret_cast<blocks::Entry<>*>(mapping_.data() + blocks::kListEntries)[position % kEntries];
  }
  slot::Fd copy() const { return slot::Fd(::fcntl(file_.get(), F_DUPFD_CLOEXEC, 0)); }

 private:
  slot::Fd file_;
  slot::Mapping mapping_;
};

class Descriptors : public ::testing::Test {
 protected:
  void attach(std::uint32_t place, std::uint32_t pid) {
    blocks::Member& member = memory_->members.at(place);
    member.pid = pid;
    member.start_time = pid;
    member.state = 1;
  }
  /// List `list_fd` of the tests.
  List& publish(std::uint32_t place, std::uint32_t member, const std::string& topic, std::uint64_t serial) {
    blocks::Publication& entry = memory_->publications.at(place);
    entry.member = member;
    entry.list_fd = next_fd_++;
    entry.list_bytes = kListBytes;
    entry.serial = serial;
    topic.copy(entry.topic.data(), entry.topic.size() - 1);
    entry.state = 1;
    return *(files_[entry.list_fd] = std::make_unique<List>(serial));
  }
  blocks::CursorEntry& subscribe(std::uint32_t place, std::uint32_t member, std::uint32_t publication,
                                 blocks::Overflow overflow) {
    blocks::Subscription& subscription = memory_->subscriptions.at(place);
    subscription.member = member;
    subscription.topic = memory_->publications.at(publication).topic;
    subscription.state = 1;
    blocks::CursorEntry& entry = memory_->cursors.at(place);
    entry.subscription = place;
    entry.member = member;
    entry.publication = publication;
    entry.publication_serial = memory_->publications.at(publication).serial;
    entry.adopted = 1;
    entry.cursor.overflow = static_cast<std::uint32_t>(overflow);
    entry.state = 1;
    return entry;
  }
  void update() { descriptors_.update(*memory_, now_us_); }
  ListBlocks look(std::uint32_t place, std::uint64_t serial, std::size_t most = 32) {
    return descriptors_.blocks_of({place, serial}, *memory_, most);
  }
  static std::vector<std::uint32_t> holders_of(const BlockDescriptor& block) {
    std::vector<std::uint32_t> pids;
    for (const BlockHolder& holder : block.holders) pids.push_back(holder.pid);
    return pids;
  }

  std::unique_ptr<blocks::RegionMemory> memory_ = std::make_unique<blocks::RegionMemory>();
  std::map<std::uint32_t, std::unique_ptr<List>> files_;
  std::uint32_t next_fd_ = 10;
  std::size_t room_ = 4, opened_ = 0;
  std::uint64_t now_us_ = 1'000'000;
  RegionDescriptors descriptors_{
      [this](const RegionDescriptors::Key& /*process*/, std::uint32_t fd, std::uint64_t bytes) {
        ++opened_;
        const auto found = files_.find(fd);
        if (found == files_.end() || bytes != kListBytes) return slot::Fd();
        return found->second->copy();
      },
      &room_};
};

TEST_F(Descriptors, AProcessIsRegisteredWithWhatItHas) {
  attach(0, kAda);
  attach(1, kBob);
  publish(0, 0, "eur", 5);
  update();
  now_us_ += 1'000'000;
  publish(1, 0, "usd", 6);
  subscribe(0, 1, 0, blocks::Overflow::block);
  update();
  ASSERT_EQ(descriptors_.processes().size(), 2U);
  const ProcessDescriptor& ada = descriptors_.processes().at({kAda, kAda});
  EXPECT_EQ(ada.registered_us, 1'000'000U);
  EXPECT_EQ(ada.memory, 2 * kListBytes);
  EXPECT_EQ(ada.growths, 2U);
  EXPECT_EQ(ada.writes, (std::vector<std::string>{"eur", "usd"}));
  EXPECT_EQ(descriptors_.processes().at({kBob, kBob}).reads, (std::vector<std::string>{"eur"}));
  memory_->publications[1].state = 0;
  update();
  EXPECT_EQ(ada.memory, kListBytes);
  EXPECT_EQ(ada.most_memory, 2 * kListBytes);
  EXPECT_EQ(ada.growths, 2U);
  EXPECT_EQ(descriptors_.lists().size(), 1U);
  memory_->members[1].state = 0;
  update();
  EXPECT_EQ(descriptors_.processes().size(), 1U);
}

TEST_F(Descriptors, ABlockIsShownWithWhereItLiesAndWhoHasIt) {
  attach(0, kAda);
  attach(1, kBob);
  attach(2, kEve);
  List& list = publish(0, 0, "eur", 5);
  blocks::CursorEntry& careful = subscribe(0, 1, 0, blocks::Overflow::block);
  blocks::CursorEntry& quick = subscribe(1, 2, 0, blocks::Overflow::drop_oldest);
  for (blocks::BlockPlace i = 0; i < 4; ++i) list.publish(i * 2, 100 + i);
  update();
  careful.cursor.released = 2;
  quick.cursor.holds[3] = 3 + 1;
  const ListBlocks found = look(0, 5);
  ASSERT_EQ(found.blocks.size(), 4U);
  EXPECT_EQ(found.more, 0U);
  EXPECT_EQ(found.blocks[0].state, BlockState::published);
  EXPECT_TRUE(found.blocks[0].holders.empty());
  EXPECT_EQ(found.blocks[2].state, BlockState::awaited);
  EXPECT_EQ(holders_of(found.blocks[2]), (std::vector<std::uint32_t>{kBob}));
  EXPECT_EQ(found.blocks[3].state, BlockState::held);
  EXPECT_EQ(holders_of(found.blocks[3]), (std::vector<std::uint32_t>{kBob, kEve}));
  EXPECT_EQ(found.blocks[3].offset, kBlockOffset + 6 * blocks::kPlaceBytes);
  EXPECT_EQ(found.blocks[3].length, 103U);
  const ListBlocks some = look(0, 5, 3);
  EXPECT_EQ(some.blocks.size(), 3U);
  EXPECT_EQ(some.more, 1U);
}

TEST_F(Descriptors, AMessageThatIsHeldThoughItLeftTheListIsShown) {
  attach(0, kAda);
  attach(1, kBob);
  List& list = publish(0, 0, "eur", 5);
  blocks::CursorEntry& quick = subscribe(0, 1, 0, blocks::Overflow::drop_oldest);
  for (int i = 0; i < 3; ++i) list.publish(2, 50);
  update();
  quick.cursor.holds[0] = 0 + 1;
  list.header().marks.oldest = 2;
  const ListBlocks found = look(0, 5);
  ASSERT_EQ(found.blocks.size(), 2U);
  EXPECT_EQ(found.blocks[0].position, 0U);
  EXPECT_EQ(found.blocks[0].state, BlockState::held);
  EXPECT_EQ(found.blocks[0].length, 50U) << "its entry is still that of the message";
  for (blocks::Position i = 3; i < 3 + kEntries; ++i) list.publish(2, 50);
  list.header().marks.oldest = 5;
  EXPECT_FALSE(look(0, 5).blocks[0].length) << "another message has its entry";
}

TEST_F(Descriptors, WhoHoldsWhatIsKnownWhenThePublisherHasEnded) {
  attach(0, kAda);
  attach(1, kBob);
  publish(0, 0, "eur", 5).publish(2, 77);
  blocks::CursorEntry& cursor = subscribe(0, 1, 0, blocks::Overflow::block);
  update();
  EXPECT_EQ(room_, 3U);
  memory_->publications[0].state = 0;
  memory_->members[0].state = 0;
  files_.clear();  // nobody has it any more but who mapped it, and the engine
  update();
  ASSERT_EQ(descriptors_.lists().size(), 1U);
  EXPECT_FALSE(descriptors_.lists().begin()->second.published);
  EXPECT_EQ(descriptors_.lists().begin()->second.pid, kAda);
  const ListBlocks found = look(0, 5);
  ASSERT_EQ(found.blocks.size(), 1U);
  EXPECT_EQ(found.blocks[0].length, 77U);
  EXPECT_EQ(holders_of(found.blocks[0]), (std::vector<std::uint32_t>{kBob}));
  cursor.state = 0;
  update();
  EXPECT_TRUE(descriptors_.lists().empty());
  EXPECT_EQ(room_, 4U) << "its memory is free";
}

TEST_F(Descriptors, BeyondTheLimitOfFilesSubscribersAloneAreAsked) {
  room_ = 0;
  attach(0, kAda);
  attach(1, kBob);
  publish(0, 0, "eur", 5).publish(2, 77);
  subscribe(0, 1, 0, blocks::Overflow::drop_oldest).cursor.holds[0] = 1;
  update();
  EXPECT_EQ(opened_, 0U);
  const ListBlocks found = look(0, 5);
  ASSERT_EQ(found.blocks.size(), 1U);
  EXPECT_EQ(found.blocks[0].state, BlockState::held);
  EXPECT_FALSE(found.blocks[0].offset);
  room_ = 1;
  update();
  EXPECT_EQ(opened_, 1U) << "it is opened when there is room";
}

TEST_F(Descriptors, WhatMembersWriteCostsTheirOwnRowsAlone) {
  attach(0, kAda);
  attach(1, kEve);
  publish(0, 0, "eur", 5).publish(2, 77);
  List& bad = publish(1, 1, "bad", 6);
  bad.publish(0xffffffff, 1);                // beyond the memory
  bad.publish(1, ~std::uint64_t{0});         // longer than it
  bad.publish(3, 10);                        // and one that is well
  bad.entry(3).place = ~std::uint64_t{0};    // an entry of no message
  memory_->publications[1].topic.fill('x');  // without an end
  // A publication of a member that there is not, and one of a member beyond the table.
  memory_->publications[2].member = 200;
  memory_->publications[2].serial = 7;
  memory_->publications[2].state = 1;
  memory_->publications[3].member = ~0U;
  memory_->publications[3].list_bytes = ~std::uint64_t{0};
  memory_->publications[3].state = 1;
  // Cursors that name each other's lists, or none, and hold everything.
  for (std::uint32_t i = 0; i < blocks::kMaxCursors; ++i) {
    blocks::CursorEntry& cursor = memory_->cursors.at(i);
    cursor.subscription = ~i;
    cursor.member = ~i;
    cursor.publication = i % 2 == 0 ? 1 : ~i;
    cursor.publication_serial = 6;
    cursor.cursor.overflow = i;
    cursor.cursor.released = ~std::uint64_t{0} - i;
    for (std::size_t hold = 0; hold < blocks::kMaxHolds; ++hold)
      cursor.cursor.holds[hold] = ~std::uint64_t{0} - (i * blocks::kMaxHolds) - hold;
    cursor.state = 1;
  }
  update();
  ListBlocks found = look(1, 6);
  EXPECT_LE(found.blocks.size(), 32U);
  EXPECT_EQ(descriptors_.lists().at({1, 6}).topic.size(), 63U);
  for (blocks::CursorEntry& cursor : memory_->cursors) cursor.state = 0;
  found = look(1, 6);
  ASSERT_EQ(found.blocks.size(), 3U);
  EXPECT_EQ(found.invalid, 2U);
  EXPECT_EQ(found.blocks[2].length, 10U);
  bad.header().marks.tail = ~std::uint64_t{0};
  bad.header().marks.oldest = 1;
  EXPECT_EQ(look(1, 6).blocks.size(), kEntries) << "no more than there can be";
  bad.header().marks.oldest = ~std::uint64_t{0};
  bad.header().marks.tail = 1;
  EXPECT_TRUE(look(1, 6).blocks.empty());
  for (const std::uint32_t entries : {0U, 3U, 1U << 20U, ~0U}) {
    bad.header().entries = entries;
    EXPECT_NE(look(1, 6).damage, "") << entries;
  }
  bad.header().entries = kEntries;
  bad.header().block_offset = ~std::uint64_t{0};
  EXPECT_NE(look(1, 6).damage, "");
  // The honest list is as it was.
  found = look(0, 5);
  ASSERT_EQ(found.blocks.size(), 1U);
  EXPECT_EQ(found.blocks[0].length, 77U);
  EXPECT_EQ(descriptors_.processes().at({kAda, kAda}).memory, kListBytes);
}

TEST_F(Descriptors, ListsThatChangeAllTheTimeDoNotAddUp) {
  attach(0, kAda);
  for (std::uint64_t round = 0; round < 20; ++round) {
    for (std::uint32_t i = 0; i < blocks::kMaxPublications; ++i) {
      memory_->publications[i].serial = 1000 * round + i;
      memory_->publications[i].state = 1;
    }
    update();
    EXPECT_EQ(descriptors_.lists().size(), blocks::kMaxPublications);
  }
  EXPECT_LE(opened_, 20 * RegionDescriptors::kOpenedAtOnce);
}

}  // namespace
}  // namespace slotwire::engine
