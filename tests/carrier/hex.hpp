// Bytes as text and back.
#pragma once
#include <span>
#include <string>
#include <vector>

namespace slotwire::test {

inline std::vector<std::byte> from_hex(const std::string& hex) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

inline std::string to_hex(std::span<const std::byte> bytes) {
  std::string hex;
  for (const std::byte byte : bytes) {
    hex += "0123456789abcdef"[static_cast<unsigned>(byte) >> 4U];
    hex += "0123456789abcdef"[static_cast<unsigned>(byte) & 15U];
  }
  return hex;
}

}  // namespace slotwire::test
