#include "tools/slotwire/control_client.hpp"

namespace slotwire::cli {
namespace {

int exit_code_of_error(const control::ToolError& error) {
  using Kind = control::ToolError::Kind;
  switch (error.kind()) {
    case Kind::usage:
      return kExitUsage;
    case Kind::not_there:
      return kExitEngineGone;
    case Kind::no_access:
    case Kind::not_allowed:
      return kExitRefused;
    case Kind::no_answer:
    case Kind::broken:
      return kExitFailed;
    case Kind::refused:
      break;
  }
  if (error.code() == "no_service") return kExitNoService;
  if (error.code() == "link_down") return kExitLinkDown;
  if (error.code() == "no_link") return kExitUsage;
  if (error.code() == "refused" || error.code() == "quota") return kExitRefused;
  return kExitFailed;
}

}  // namespace

ControlClient::ControlClient(const Common& common) {
  try {
    client_.emplace(socket_path(common));
  } catch (const control::ToolError& error) {
    fail(error);
  }
}

void ControlClient::fail(const control::ToolError& error) {
  throw CommandError(exit_code_of_error(error), error.what());
}

}  // namespace slotwire::cli
