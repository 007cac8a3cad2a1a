// What two engines say about keys, without the engines.
#pragma once
#include <gtest/gtest.h>

#include <utility>

#include "core/carriers/link_keys.hpp"

namespace slotwire::test {

/// What two engines do over their control connection, which is new: both offer a key, both take the other's.
inline void agree(carriers::LinkKeys& one, carriers::LinkKeys& other) {
  one.restart();
  other.restart();
  for (const auto& [from, to] : {std::pair(&one, &other), std::pair(&other, &one)}) {
    const auto key = from->offer();
    ASSERT_TRUE(key);
    ASSERT_EQ(to->take(*key, 0), carriers::LinkKeys::Take::taken);
    ASSERT_TRUE(from->taken(key->id));
  }
}

}  // namespace slotwire::test
