// What the tools say of a link: its carrier, and why it is as it is.
#pragma once
#include <string>

#include "tools/slotwire/control_client.hpp"
#include "tools/slotwire/text.hpp"

namespace slotwire::cli {

struct LinkText {
  std::string carrier;  ///< "udp"; of a link that chooses its carrier "auto: http"
  std::string why;      ///< what is missing, or why a link that chooses its carrier has no better one
};

/// `link`: one of `links` of a status.
LinkText describe_link(const Json& link);

/// What congestion control has of `links` of a status: a row for each link that is under it.
Table congestion_table(const Json& links);

}  // namespace slotwire::cli
