#include "runtime/blocks/engine_call.hpp"

#include <stdexcept>

#include "runtime/blocks/meeting.hpp"

namespace slotwire::blocks {

using control::ToolError;

std::unique_ptr<EngineCall> EngineCall::connect(const std::string& region) {
  try {
    return std::unique_ptr<EngineCall>(new EngineCall(region, control::default_socket_path()));
  } catch (const ToolError&) {
    return nullptr;
  }
}

std::optional<EngineCall::Answer> EngineCall::ask(bool make, std::uint64_t bytes) {
  control::RegionRequest request;
  request.region = region_;
  request.pid_namespace = own_pid_namespace();
  request.make = make;
  request.bytes = bytes;
  try {
    Answer answer;
    control::Answer read;
    read.fields = client_.ask(request, {}, &answer.fds);
    auto fields = control::decode_answer<control::RegionAnswer>(read);
    if (!fields.ok()) throw std::runtime_error("slotwired answered 'region' in a way that is not known here");
    answer.fields = std::move(fields).value();
    return answer;
  } catch (const ToolError& error) {
    if (error.kind() == ToolError::Kind::not_there || error.code() == "bad_request" || error.code() == "no_session")
      return std::nullopt;
    throw std::runtime_error("region '" + region_ + "': " + error.what());
  }
}

}  // namespace slotwire::blocks
