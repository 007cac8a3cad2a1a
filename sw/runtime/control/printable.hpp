// Texts that another process, machine or file wrote, as they may reach a log or a terminal.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace slotwire::control {

/// Replaces by '?' what is not a printable character of UTF-8: control characters (C0, delete, C1), separators of
/// lines, characters that turn the direction of the text around them, and bytes that are no UTF-8. So no text forges a
/// line of a log, moves a cursor or hides what stands beside it. At most `most` bytes are kept, never a part of a
/// character.
std::string printable(std::string_view text, std::size_t most = std::string_view::npos);

}  // namespace slotwire::control
