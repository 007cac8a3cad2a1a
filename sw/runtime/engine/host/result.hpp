// The engine's calls that may fail return core::Result.
#pragma once
#include "core/result.hpp"

namespace slotwire::engine {

using core::Error;
using core::Result;

}  // namespace slotwire::engine
