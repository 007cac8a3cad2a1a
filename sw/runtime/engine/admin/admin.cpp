#include "runtime/engine/admin/admin.hpp"

#include <cstring>
#include <random>
#include <stdexcept>
#include <string>

namespace slotwire::engine {
namespace {

constexpr std::uint64_t kMagic = 0x534c5457'41444d4eULL;  // "SLTWADMN"
constexpr std::uint32_t kLayout = 1;                      // grows with every change of the structs

std::size_t round_up(std::size_t n, std::size_t to) {
  return (n + to - 1) / to * to;
}

}  // namespace

void set_name(char (&to)[kNameBytes], std::string_view from) {
  std::string name(from);
  control::cut_text(name, kNameBytes - 1);
  std::memset(to, 0, kNameBytes);
  std::memcpy(to, name.data(), name.size());
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
