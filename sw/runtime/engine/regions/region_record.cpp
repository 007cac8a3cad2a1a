#include "runtime/engine/regions/region_record.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

namespace slotwire::engine {
namespace {

constexpr std::uint64_t kRecordMagic = 0x64726f'6365'7277'73;  // "swrecord", little-endian
constexpr std::uint32_t kRecordVersion = 1;
constexpr std::size_t kRecordBytes = 4096;

struct RecordLayout {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t uid;
  std::int32_t pid;
  std::uint64_t start_time;
  std::array<char, 64> name, prefix;
};

std::string record_text(const std::array<char, 64>& text) {
  return {text.data(), std::find(text.begin(), text.end(), '\0')};
}

}  // namespace

slot::Fd RegionRecord::write() const {
  slot::WrittenFile made = slot::create_written_file("slotwire-record", kRecordBytes);
  auto& layout = *reinterpret_cast<RecordLayout*>(made.mapping.data());
  layout.magic = kRecordMagic;
  layout.version = kRecordVersion;
  layout.uid = uid;
  layout.pid = pid;
  layout.start_time = start_time;
  std::memcpy(layout.name.data(), name.data(), std::min(name.size(), layout.name.size() - 1));
  std::memcpy(layout.prefix.data(), prefix.data(), std::min(prefix.size(), layout.prefix.size() - 1));
  return std::move(made.file);
}

RegionRecord RegionRecord::read(const slot::Fd& file) {
  if (const std::string wrong = slot::check_sealed_file(file.get(), kRecordBytes); !wrong.empty())
    throw std::runtime_error("no record of a region: " + wrong);
  const slot::Mapping mapping = slot::map_file(file.get(), kRecordBytes, slot::Access::read_only);
  const auto& layout = *reinterpret_cast<const RecordLayout*>(mapping.data());
  if (layout.magic != kRecordMagic || layout.version != kRecordVersion)
    throw std::runtime_error("no record of a region, or one of another release");
  return {record_text(layout.name), record_text(layout.prefix), layout.uid, layout.pid, layout.start_time};
}

}  // namespace slotwire::engine
