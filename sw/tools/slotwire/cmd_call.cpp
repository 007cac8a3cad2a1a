// slotwire call: one request to a service, its answer on standard output.
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "tools/slotwire/common.hpp"
#include "tools/slotwire/input.hpp"

namespace slotwire::cli {
namespace {

using Json = nlohmann::json;
using std::chrono::microseconds;

/// Largest body: as the process library's largest message.
constexpr std::size_t kMaxBody = std::size_t{64} << 20;

struct CallOptions {
  Common common;
  std::string service;
  std::uint16_t method = 0;
  std::string data;
  std::string file;
  microseconds timeout{10'000'000};
};

int run_call(const CallOptions& options, bool has_data) {
  const std::string body = has_data ? options.data : read_all(options.file.empty() ? "-" : options.file, kMaxBody);
  const ContextPtr context = open_context(options.common, "slotwire-call");
  const auto start = std::chrono::steady_clock::now();
  const ConnectionPtr connection = connect(*context, options.service, options.timeout);
  sw_message reply;
  SW_INIT(reply);
  const int status =
      sw_call(connection.get(), options.method, body.data(), body.size(), to_ms(options.timeout), &reply);
  if (status != SW_OK && status != SW_REMOTE_ERROR) fail(status, "the call to '" + options.service + "' failed");
  const std::string answer(static_cast<const char*>(reply.data), reply.length);
  const std::uint16_t code = reply.code;
  sw_release(connection.get(), &reply);
  if (options.common.json) {
    const auto us = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
    Json line{{"service", options.service}, {"ok", status == SW_OK}, {"bytes", answer.size()}, {"us", us}};
    if (status == SW_REMOTE_ERROR) line["code"] = code;
    line[status == SW_OK ? "data" : "error"] = answer;
    std::printf("%s\n", line.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
    return status == SW_OK ? kExitOk : kExitFailed;
  }
  if (status == SW_REMOTE_ERROR) {
    throw CommandError(kExitFailed, "the server answered with error " + std::to_string(code) + ": " + answer);
  }
  if (!write_all(STDOUT_FILENO, answer.data(), answer.size())) {
    throw CommandError(kExitFailed, std::string("cannot write the answer: ") + std::strerror(errno));
  }
  return kExitOk;
}

}  // namespace

void add_call(CLI::App& app, Command& command) {
  auto options = std::make_shared<CallOptions>();
  CLI::App* sub = app.add_subcommand("call", "Send one request to a service and print its answer");
  sub->add_option("SERVICE", options->service, "the service")->required()->check(service_name());
  CLI::Option* data =
      sub->add_option("DATA", options->data, "the request's body (default: --file, else standard input)");
  sub->add_option("-m,--method", options->method, "number that the server tells requests apart by")
      ->capture_default_str()
      ->check(CLI::Range(0, 65534));
  sub->add_option("-f,--file", options->file, "take the body from this file; - is standard input")->excludes(data);
  add_duration(*sub, "-W,--timeout", options->timeout, microseconds(1000), microseconds(3'600'000'000),
               "give up, and tell the server, after this time (default 10s)");
  add_common(*sub, options->common, "print one JSON object: ok, bytes, us, data (text) or code and error");
  sub->footer(
      R"(The body is sent as it is, up to 64 MiB. The answer goes to standard output with nothing added. An error
that the server answers with goes to standard error, exit status 1.

Examples: slotwire call upper 'some text'
          slotwire call resize --method 2 --file cat.jpg > small.jpg)");
  sub->callback([options, data, &command] {
    const bool has_data = data->count() != 0;
    command = [options, has_data] { return run_call(*options, has_data); };
  });
}

}  // namespace slotwire::cli
