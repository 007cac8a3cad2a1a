#include "tools/slotwire/web/web_log.hpp"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <ctime>

#include "runtime/control/printable.hpp"
#include "tools/slotwire/common.hpp"

namespace slotwire::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string time_now() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  std::tm parts{};
  ::gmtime_r(&now.tv_sec, &parts);
  std::array<char, 40> text{};
  const std::size_t n = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text.data() + n, text.size() - n, ".%03ldZ", now.tv_nsec / 1'000'000);
  return text.data();
}

void print_json(const Json& line) {
  std::printf("%s\n", line.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
  flush_log();
}

void print_text(const std::string& text) {
  std::fprintf(stderr, "%s %s\n", time_now().c_str(), control::printable(text).c_str());
}

constexpr unsigned kFirstServerError = 500;

}  // namespace

/// What every line in JSON has.
Json WebLog::line(const std::string& event, const char* level, const std::string& message) const {
  return {{"time", time_now()}, {"level", level}, {"node", node_},     {"component", "slotwire-web"},
          {"pid", ::getpid()},  {"event", event}, {"message", message}};
}

void WebLog::note(const std::string& event, const std::string& text) const {
  if (json_) {
    print_json(line(event, event == "trouble" ? "warning" : "info", text));
  } else {
    print_text(text);
  }
}

void WebLog::finished(const web::Finished& request) {
  ++requests_;
  if (request.abort != web::Abort::none) ++aborted_;
  if (request.status >= kFirstServerError) ++failed_;
  if (quiet_) return;
  const double seconds = std::chrono::duration<double>(request.time).count();
  std::string text = std::string(request.method) + " " + std::string(request.target) + " for " +
                     std::string(request.client) + ": " + std::to_string(request.status) + ", " +
                     std::to_string(request.body_in) + " bytes in, " + std::to_string(request.body_out) + " out, ";
  std::array<char, 32> number{};
  std::snprintf(number.data(), number.size(), "%.3f s", seconds);
  text += number.data();
  if (!request.trace.empty()) text += ", trace " + std::string(request.trace);
  if (request.abort != web::Abort::none) text += ": aborted: " + std::string(web::name(request.abort));
  if (!request.problem.empty()) text += ": " + std::string(request.problem);
  if (!json_) return print_text(text);
  Json said = line("request", request.status >= kFirstServerError ? "error" : "info", text);
  said["method"] = request.method;
  said["target"] = request.target;
  said["client"] = request.client;
  said["status"] = request.status;
  said["body_in"] = request.body_in;
  said["body_out"] = request.body_out;
  said["seconds"] = seconds;
  if (!request.trace.empty()) said["trace"] = request.trace;
  if (request.abort != web::Abort::none) said["aborted"] = web::name(request.abort);
  if (!request.problem.empty()) said["problem"] = request.problem;
  print_json(said);
}

void WebLog::sums(std::uint64_t heads) const {
  const std::string text = "stopped: " + std::to_string(requests_) + " requests, " + std::to_string(aborted_) +
                           " of them aborted, " + std::to_string(failed_) + " answered with 500 or above; " +
                           std::to_string(heads) + " heads given up (--max-unfinished-heads)";
  if (json_) {
    Json said = line("stopped", "info", text);
    said["requests"] = requests_;
    said["aborted"] = aborted_;
    said["failed"] = failed_;
    said["heads_given_up"] = heads;
    print_json(said);
  } else if (!quiet_) {
    print_text(text);
  }
}

}  // namespace slotwire::cli
