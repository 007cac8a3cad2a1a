#include "runtime/blocks/engine_call.hpp"

#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <stdexcept>
#include <string>

#include "runtime/blocks/meeting.hpp"

namespace slotwire::blocks {

using control::ToolError;

namespace {

/// How long a slotwired may take to come back that has left its socket behind, and how often that is looked at.
constexpr std::chrono::milliseconds kComesBack{3000};
constexpr int kLookAgainMs = 20;

}  // namespace

std::unique_ptr<EngineCall> EngineCall::connect(const std::string& region) {
  const std::string path = control::default_socket_path();
  const auto end = std::chrono::steady_clock::now() + kComesBack;
  while (true) {
    try {
      return std::unique_ptr<EngineCall>(new EngineCall(region, path));
    } catch (const ToolError&) {
      // One that was killed may be on its way back: what its rules say of the region is worth waiting for.
      if (::access(path.c_str(), F_OK) != 0 || std::chrono::steady_clock::now() >= end) return nullptr;
      ::poll(nullptr, 0, kLookAgainMs);
    }
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
