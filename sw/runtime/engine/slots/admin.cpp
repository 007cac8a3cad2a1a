#include "runtime/engine/slots/admin.hpp"

#include <array>
#include <cstring>
#include <random>
#include <stdexcept>

namespace slotwire::engine {
namespace {

constexpr std::uint64_t kMagic = 0x534c5457'41444d4eULL;  // "SLTWADMN"
constexpr std::uint32_t kLayout = 1;                      // grows with every change of the structs
constexpr std::array<std::string_view, 6> kEndNames{"none", "closed", "died", "fault", "peer_fault", "lost"};

std::size_t round_up(std::size_t n, std::size_t to) {
  return (n + to - 1) / to * to;
}

}  // namespace

std::string_view end_name(End end) {
  const auto i = static_cast<std::size_t>(end);
  return i < kEndNames.size() ? kEndNames[i] : "unknown";
}

End end_from_name(std::string_view name) {
  for (std::size_t i = 0; i < kEndNames.size(); ++i) {
    if (kEndNames[i] == name) return static_cast<End>(i);
  }
  return End::died;
}

void set_name(char (&to)[kNameBytes], std::string_view from) {
  const std::size_t n = from.size() < kNameBytes - 1 ? from.size() : kNameBytes - 1;
  std::memset(to, 0, kNameBytes);
  std::memcpy(to, from.data(), n);
}

std::string_view get_name(const char (&from)[kNameBytes]) {
  return {from, ::strnlen(from, kNameBytes)};
}

void Admin::lay_out(std::size_t slots, std::size_t sessions) {
  slots_ = slots;
  sessions_ = sessions;
  rows_at_ = round_up(sizeof(AdminHeader), regs::kLineBytes);
  slots_at_ = round_up(rows_at_ + (slots * sizeof(regs::SlotRow)), regs::kLineBytes);
  sessions_at_ = round_up(slots_at_ + (slots * sizeof(SlotDescriptor)), regs::kLineBytes);
  bytes_ = round_up(sessions_at_ + (sessions * sizeof(SessionRecord)), regs::kPageBytes);
}

Admin::Admin(std::string_view node, std::size_t slots, std::size_t sessions, std::uint64_t slot_memory) {
  lay_out(slots, sessions);
  file_ = slot::create_sealed_file("slotwire-admin", bytes_);
  mapping_ = slot::map_file(file_.get(), bytes_, slot::Access::read_write);
  AdminHeader& h = header();
  std::random_device random;
  h.layout = kLayout;
  h.slots = static_cast<std::uint32_t>(slots);
  h.sessions = static_cast<std::uint32_t>(sessions);
  h.lives = 1;
  h.incarnation = (std::uint64_t{random()} << 32) | random();
  h.next_session_id = 1;
  h.slot_memory = slot_memory;
  set_name(h.node, node);
  h.magic = kMagic;
}

Admin::Admin(slot::Fd file, std::string_view node, std::size_t slots, std::size_t sessions, std::uint64_t slot_memory)
    : file_(std::move(file)) {
  lay_out(slots, sessions);
  if (const std::string wrong = slot::check_sealed_file(file_.get(), bytes_); !wrong.empty()) {
    throw std::invalid_argument("its size is another, so limits.slots or limits.sessions changed (" + wrong + ")");
  }
  mapping_ = slot::map_file(file_.get(), bytes_, slot::Access::read_write);
  AdminHeader& h = header();
  if (h.magic != kMagic || h.layout != kLayout) throw std::invalid_argument("another version of slotwired wrote it");
  if (h.slots != slots || h.sessions != sessions)
    throw std::invalid_argument("limits.slots or limits.sessions changed");
  if (h.slot_memory != slot_memory) throw std::invalid_argument("memory.slot_memory changed");
  if (get_name(h.node) != node)
    throw std::invalid_argument("it belongs to node '" + std::string(get_name(h.node)) + "'");
  ++h.lives;
}

}  // namespace slotwire::engine
