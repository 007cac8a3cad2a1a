#include "runtime/engine/host/log.hpp"

#include <spdlog/details/file_helper.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <mutex>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "runtime/control/printable.hpp"

namespace slotwire::engine {
namespace {

constexpr const char* kPattern = "%Y-%m-%dT%H:%M:%S.%e%z %l slotwired[%P]: %*";
/// Longest text of a line; longer ones are cut.
constexpr std::size_t kMaxLine = 4096;
/// Longest kind of a line in JSON.
constexpr std::size_t kMaxKind = 256;
constexpr std::string_view kOthers = "other";

/// The text of a line, whoever wrote what is in it: the one place where lines are made printable and cut.
class PrintableText final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm& /*time*/, spdlog::memory_buf_t& line) override {
    const std::string text = control::printable({message.payload.data(), message.payload.size()}, kMaxLine);
    line.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<spdlog::custom_flag_formatter> clone() const override { return std::make_unique<PrintableText>(); }
};

/// A line as one JSON object. What a line has beside its text is its kind, which LimitedLog hands over as the name of a
/// function of a source place.
class JsonFormatter final : public spdlog::formatter {
 public:
  explicit JsonFormatter(std::string node) : node_(std::move(node)) {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& line) override {
    const auto level = spdlog::level::to_string_view(message.level);
    nlohmann::ordered_json object{{"time", utc_text(message.time)},
                                  {"level", std::string(level.data(), level.size())},
                                  {"node", node_},
                                  {"component", "slotwired"},
                                  {"pid", ::getpid()}};
    if (message.source.funcname != nullptr) object["kind"] = control::printable(message.source.funcname, kMaxKind);
    object["message"] = control::printable({message.payload.data(), message.payload.size()}, kMaxLine);
    const std::string text = object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
    line.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<JsonFormatter>(node_); }

 private:
  static std::string utc_text(spdlog::log_clock::time_point time) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
    const std::time_t seconds = ms / 1000;
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    std::array<char, 40> text{};
    const std::size_t n = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
    std::snprintf(text.data() + n, text.size() - n, ".%03dZ", static_cast<int>(ms % 1000));
    return text.data();
  }

  std::string node_;
};

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::trace:
      return spdlog::level::trace;
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warn:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
    case LogLevel::off:
      return spdlog::level::off;
  }
  return spdlog::level::info;
}

}  // namespace

/// spdlog's own file sink cannot change its file while others log; this one changes it under the sink's lock.
class Log::FileSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit FileSink(std::string name) : name_(std::move(name)), file_(open(name_)) {}

  void reopen() {
    auto fresh = open(name_);  // may throw, then the old one stays
    const std::lock_guard lock(mutex_);
    file_ = std::move(fresh);
  }

 private:
  static std::unique_ptr<spdlog::details::file_helper> open(const std::string& name) {
    // Opening a FIFO would wait for whoever reads from it.
    struct stat info {};
    if (::stat(name.c_str(), &info) == 0 && !S_ISREG(info.st_mode) && !S_ISCHR(info.st_mode)) {
      throw spdlog::spdlog_ex("'" + name + "' is neither a file nor a device");
    }
    auto file = std::make_unique<spdlog::details::file_helper>();
    file->open(name);
    return file;
  }

  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    file_->write(line);
  }
  void flush_() override { file_->flush(); }

  std::string name_;
  std::unique_ptr<spdlog::details::file_helper> file_;
};

Log::Log(const LogConfig& config, const std::string& node) {
  spdlog::sink_ptr sink;
  if (config.file.empty()) {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  } else {
    try {
      file_ = std::make_shared<FileSink>(config.file);
    } catch (const spdlog::spdlog_ex& error) {
      throw std::runtime_error("the log file " + config.file + " cannot be opened: " + error.what() +
                               "; check 'log.file' and who may write there");
    }
    sink = file_;
  }
  logger_ = std::make_shared<spdlog::logger>("slotwired", std::move(sink));
  if (config.json) {
    logger_->set_formatter(std::make_unique<JsonFormatter>(node));
  } else {
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    formatter->add_flag<PrintableText>('*').set_pattern(kPattern);
    logger_->set_formatter(std::move(formatter));
  }
  // A crash must not take the line with it that says why; what is frequent is below this level.
  logger_->flush_on(spdlog::level::info);
  set_level(config.level);
}

void Log::set_level(LogLevel level) {
  logger_->set_level(to_spdlog(level));
}

Result<void> Log::reopen() {
  if (!file_) return {};
  try {
    file_->reopen();
  } catch (const spdlog::spdlog_ex& error) {
    const std::string text = std::string("the log file cannot be opened again, lines go on to the old one: ") +
                             error.what() + "; check 'log.file' and who may write there";
    logger_->error("{}", text);
    return Error{text};
  }
  return {};
}

LogLimiter::Verdict LogLimiter::admit(Window& window, std::chrono::microseconds now) const {
  Verdict verdict;
  if (now - window.begin >= limits_.interval) {
    verdict.held_back = window.held_back;
    window = {now, 0, 0};
  }
  verdict.write = window.written < limits_.lines;
  if (verdict.write) {
    ++window.written;
  } else {
    ++window.held_back;
  }
  return verdict;
}

LogLimiter::Verdict LogLimiter::admit(std::string_view key, std::chrono::microseconds now) {
  const std::string name(key);
  auto found = windows_.find(name);
  if (found == windows_.end()) {
    if (windows_.size() >= limits_.keys) return admit(others_, now);
    found = windows_.emplace(name, Window{now, 0, 0}).first;
  }
  return admit(found->second, now);
}

void LogLimiter::sweep(std::chrono::microseconds now, const Summary& summary) {
  for (auto it = windows_.begin(); it != windows_.end();) {
    if (now - it->second.begin < limits_.interval) {
      ++it;
      continue;
    }
    if (it->second.held_back > 0) summary(it->first, it->second.held_back);
    it = windows_.erase(it);
  }
  if (others_.held_back > 0 && now - others_.begin >= limits_.interval) {
    summary(kOthers, others_.held_back);
    others_ = {now, 0, 0};
  }
}

void LimitedLog::write(std::chrono::microseconds now, std::string_view key, spdlog::level::level_enum level,
                       std::string_view text) {
  if (!logger_->should_log(level)) return;
  const auto verdict = limiter_.admit(key, now);
  if (verdict.held_back > 0) summarise(key, verdict.held_back);
  if (!verdict.write) return;
  const std::string kind(key);
  logger_->log(spdlog::source_loc{"", 1, kind.c_str()}, level, "{}", text);
}

void LimitedLog::sweep(std::chrono::microseconds now) {
  limiter_.sweep(now, [this](std::string_view key, std::uint64_t held_back) { summarise(key, held_back); });
}

void LimitedLog::summarise(std::string_view key, std::uint64_t held_back) {
  logger_->warn("{}: ... and {} more", key, held_back);
}

}  // namespace slotwire::engine
