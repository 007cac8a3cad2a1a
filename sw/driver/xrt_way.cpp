#include "driver/xrt_way.hpp"

namespace slotwire::driver {

WayResult try_xrt(const CardWish&) {
  return {nullptr, "", "no XRT module is installed"};
}

}  // namespace slotwire::driver
