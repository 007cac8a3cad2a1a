// For the sources of this room: the Asio context under a Loop.
#pragma once
#include <boost/asio/io_context.hpp>

#include "runtime/http/loop.hpp"

namespace slotwire::http {

struct Loop::Impl {
  boost::asio::io_context context{1};
};

}  // namespace slotwire::http
