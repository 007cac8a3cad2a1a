#include "runtime/engine/config/config.hpp"

#include <toml++/toml.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <fstream>
#include <sstream>

#include "core/carriers/dpdk/host.hpp"
#include "core/suggestion.hpp"
#include "runtime/engine/config/config_check.hpp"
#include "runtime/engine/config/config_files.hpp"
#include "runtime/engine/config/config_keys.hpp"
#include "runtime/engine/config/deep_key.hpp"
#include "runtime/engine/config/transport_kind.hpp"

namespace slotwire::engine {
namespace {

constexpr std::uint32_t kMinMode = 0600;
constexpr std::uint32_t kMaxMode = 0777;

Position position_of(const toml::source_region& region) {
  return {region.begin.line, region.begin.column};
}

/// The value of one key on its way into the configuration. Each function gives what is wrong, or nothing.
class Reader {
 public:
  Reader(Config& config, const Key& key, const std::filesystem::path& base) : config_(config), key_(key), base_(base) {}

  std::optional<std::string> read(const toml::node& node) {
    switch (key_.kind) {
      case Kind::count:
        return count(node);
      case Kind::boolean:
        return boolean(node);
      case Kind::cpu_list:
        return cpus(node);
      case Kind::node_list:
      case Kind::text_list:
      case Kind::node_patterns:
      case Kind::principal_list:
        return list(node);
      default:
        break;
    }
    const auto* const text = node.as_string();
    if (text == nullptr) return wrong_type(node);
    if (text->get().find('\0') != std::string::npos) return "has a zero byte in it";
    return from_text(text->get());
  }

 private:
  static std::string wrong_type(const toml::node& node) {
    std::ostringstream out;
    out << "is of type " << node.type();
    return out.str();
  }

  template <class T>
  T& field() {
    return std::get<Field<T>>(key_.target)(config_);
  }

  bool in_range(std::uint64_t value) const { return key_.max == 0 || (value >= key_.min && value <= key_.max); }

  std::optional<std::string> count(const toml::node& node) {
    const auto* const number = node.as_integer();
    if (number == nullptr) return wrong_type(node);
    const std::int64_t value = number->get();
    if (value < 0 || !in_range(static_cast<std::uint64_t>(value))) return "is " + std::to_string(value);
    field<std::uint32_t>() = static_cast<std::uint32_t>(value);
    return std::nullopt;
  }

  std::optional<std::string> cpus(const toml::node& node) {
    const auto* const array = node.as_array();
    if (array == nullptr) return wrong_type(node);
    if (!in_range(array->size())) return "has " + std::to_string(array->size()) + " entries";
    std::vector<std::uint32_t> entries;
    for (const toml::node& element : *array) {
      const auto* const number = element.as_integer();
      if (number == nullptr) return "has an entry of another kind";
      if (number->get() < 0 || number->get() > carriers::kMaxCpu) return "has " + std::to_string(number->get());
      const auto cpu = static_cast<std::uint32_t>(number->get());
      if (std::find(entries.begin(), entries.end(), cpu) != entries.end()) {
        return "has " + std::to_string(cpu) + " twice";
      }
      entries.push_back(cpu);
    }
    field<std::vector<std::uint32_t>>() = std::move(entries);
    return std::nullopt;
  }

  std::optional<std::string> boolean(const toml::node& node) {
    const auto* const value = node.as_boolean();
    if (value == nullptr) return wrong_type(node);
    field<bool>() = value->get();
    return std::nullopt;
  }

  std::optional<std::string> from_text(const std::string& text) {
    const std::string is = "is \"" + printable(text) + "\"";
    switch (key_.kind) {
      case Kind::node_name:
        return name(text, valid_node_name(text));
      case Kind::service_name:
        return name(text, valid_service_name(text));
      case Kind::service_pattern:
        return name(text, valid_service_pattern(text));
      case Kind::text:
        return name(text, !text.empty());
      case Kind::transport:
        return name(text, find_transport_kind(text) != nullptr);
      case Kind::path:
        if (text.empty()) return "is empty";
        field<std::string>() = base_.empty() ? text : (base_ / text).lexically_normal().string();
        return std::nullopt;
      case Kind::size:
      case Kind::power_size: {
        const auto size = parse_size(text);
        if (!size || !in_range(*size)) return is;
        if (key_.kind == Kind::power_size && !std::has_single_bit(*size)) return is;
        field<std::uint64_t>() = *size;
        return std::nullopt;
      }
      case Kind::duration: {
        const auto duration = parse_duration(text);
        if (!duration || !in_range(static_cast<std::uint64_t>(duration->count()))) return is;
        field<std::chrono::microseconds>() = *duration;
        return std::nullopt;
      }
      case Kind::mode: {
        std::uint32_t mode = 0;
        const char* const end = text.data() + text.size();
        const auto [rest, error] = std::from_chars(text.data(), end, mode, 8);
        if (error != std::errc{} || rest != end || (mode & kMinMode) != kMinMode || mode > kMaxMode) return is;
        field<std::uint32_t>() = mode;
        return std::nullopt;
      }
      case Kind::listen_address:
      case Kind::peer_address: {
        const auto address = parse_host_port(text);
        if (!address) return is;
        if (key_.kind == Kind::listen_address && !is_numeric_host(address->host)) return is;
        if (key_.kind == Kind::peer_address && address->port == 0) return is;
        field<std::optional<HostPort>>() = *address;
        return std::nullopt;
      }
      case Kind::choice: {
        const auto choices = split_choices(key_.choices);
        const auto found = std::find(choices.begin(), choices.end(), text);
        if (found == choices.end()) return is;
        std::get<void (*)(Config&, std::size_t)>(key_.target)(config_,
                                                              static_cast<std::size_t>(found - choices.begin()));
        return std::nullopt;
      }
      default:
        return wrong_kind();
    }
  }

  static std::string wrong_kind() { return "cannot be read"; }

  std::optional<std::string> name(const std::string& text, bool valid) {
    if (!valid) return "is \"" + printable(text) + "\"";
    field<std::string>() = text;
    return std::nullopt;
  }

  std::optional<std::string> list(const toml::node& node) {
    const auto* const array = node.as_array();
    if (array == nullptr) return wrong_type(node);
    if (!in_range(array->size())) return "has " + std::to_string(array->size()) + " entries";
    std::vector<std::string> entries;
    for (const toml::node& element : *array) {
      std::string entry;
      if (const auto* const text = element.as_string()) {
        entry = text->get();
      } else if (const auto* const number = element.as_integer();
                 number != nullptr && key_.kind == Kind::principal_list && number->get() >= 0) {
        entry = std::to_string(number->get());
      } else {
        return "has an entry of another kind";
      }
      if (!valid_entry(entry)) return "has the entry \"" + printable(entry) + "\"";
      if (std::find(entries.begin(), entries.end(), entry) != entries.end()) {
        return "has the entry \"" + printable(entry) + "\" twice";
      }
      entries.push_back(std::move(entry));
    }
    field<std::vector<std::string>>() = std::move(entries);
    return std::nullopt;
  }

  bool valid_entry(const std::string& entry) const {
    if (key_.kind == Kind::principal_list || key_.kind == Kind::text_list) {
      return !entry.empty() && entry.size() <= kMaxHostName && entry.find('\0') == std::string::npos;
    }
    return valid_node_name(entry) || (key_.kind == Kind::node_patterns && entry == "*");
  }

  Config& config_;
  const Key& key_;
  const std::filesystem::path& base_;
};

class Parser {
 public:
  Parser(const std::string& source, const std::filesystem::path& base) : base_(base), problems_(source) {
    config_.source = source;
  }

  /// Looks at the files that the configuration names, too.
  void check_files_as(FileCheck how) { files_ = how; }

  /// Only [[service]] tables may be there when `services_only`.
  Config run(std::string_view text, bool services_only) {
    const toml::table root = parse(text);
    for (auto&& [name, node] : root) {
      const auto* const section = find_section(name.str());
      if (section == nullptr || (services_only && section->name != "service")) {
        problems_.add(position_of(name.source()), printable(name.str()),
                      "is unknown; " + meant(name.str(), services_only ? services_alone() : section_list()) +
                          "expected is " + (services_only ? "[[service]]" : section_names()));
      } else if (section->repeated) {
        repeated(*section, node);
      } else {
        single(*section, node);
      }
    }
    if (!services_only) {
      for (const auto& section : config_sections()) {
        if (!section.repeated && root.get(section.name) == nullptr) keys(section, toml::table{}, {1, 1}, "");
      }
      finish();
    }
    if (!problems_.empty()) throw ConfigError(problems_.take());
    return std::move(config_);
  }

 private:
  toml::table parse(std::string_view text) {
    if (const std::optional<Position> deep = deep_key(text)) {
      problems_.add(*deep, "",
                    "this key has more than " + std::to_string(kMaxKeyParts) +
                        " parts with dots between them; no key has; correct the line");
      throw ConfigError(problems_.take());
    }
    try {
      return toml::parse(text, config_.source);
    } catch (const toml::parse_error& error) {
      problems_.add(position_of(error.source()), "",
                    "this is not TOML: " + printable(error.description()) + "; correct the line");
      throw ConfigError(problems_.take());
    }
  }

  static const Section* find_section(std::string_view name) {
    for (const auto& section : config_sections()) {
      if (section.name == name) return &section;
    }
    return nullptr;
  }

  static std::string meant(std::string_view word, const std::vector<std::string_view>& known) {
    const std::string_view near = core::suggestion(word, known);
    return near.empty() ? "" : "did you mean '" + std::string(near) + "'? ";
  }

  static std::vector<std::string_view> services_alone() { return {"service"}; }

  static std::vector<std::string_view> section_list() {
    std::vector<std::string_view> names;
    for (const auto& section : config_sections()) names.push_back(section.name);
    return names;
  }

  static std::vector<std::string_view> key_list(const Section& section) {
    std::vector<std::string_view> names;
    for (const Key& key : config_keys()) {
      if (key.section == section.name) names.push_back(key.name);
    }
    return names;
  }

  static std::string section_names() {
    std::string out = "one of";
    for (const auto& section : config_sections()) {
      out += section.repeated ? " [[" : " [";
      out += section.name;
      out += section.repeated ? "]]" : "]";
    }
    return out;
  }

  void single(const Section& section, const toml::node& node) {
    const auto* const table = node.as_table();
    if (table == nullptr) {
      const std::string name(section.name);
      problems_.add(position_of(node.source()), name, "is not a table; write [" + name + "]");
      return;
    }
    keys(section, *table, position_of(node.source()), "");
  }

  void repeated(const Section& section, const toml::node& node) {
    const std::string name(section.name);
    const auto* const array = node.as_array();
    if (array == nullptr) {
      problems_.add(position_of(node.source()), name, "is not a list of tables; write [[" + name + "]]");
      return;
    }
    std::size_t index = 0;
    for (const toml::node& element : *array) {
      const auto* const table = element.as_table();
      if (table == nullptr) {
        problems_.add(position_of(element.source()), name, "has an entry that is no table; write [[" + name + "]]");
        continue;
      }
      section.append(config_, position_of(element.source()));
      keys(section, *table, position_of(element.source()), "#" + std::to_string(index++));
    }
  }

  /// Reads the keys of one table; those that are absent get their default.
  void keys(const Section& section, const toml::table& table, Position table_at, const std::string& index) {
    const std::string prefix = std::string(section.name) + ".";
    for (auto&& [name, node] : table) {
      const std::string full = prefix + printable(name.str());
      const Key* const key = find_key(section.name, name.str());
      if (key == nullptr) {
        problems_.add(
            position_of(name.source()), full,
            "is unknown; " + meant(name.str(), key_list(section)) + "expected is one of " + key_names(section));
        continue;
      }
      const Position at = position_of(node.source());
      positions_[std::string(section.name) + index + "." + std::string(key->name)] = at;
      if (const auto wrong = Reader(config_, *key, base_).read(node)) {
        problems_.add(at, full, *wrong + "; expected is " + describe_expected(*key));
      }
    }
    for (const Key& key : config_keys()) {
      if (key.section != section.name || table.contains(key.name)) continue;
      if (key.required) {
        problems_.add(table_at, prefix + std::string(key.name), "is missing; expected is " + describe_expected(key));
      } else if (!key.standard.empty()) {
        const toml::table standard = toml::parse("v = " + std::string(key.standard));
        // A default that its own key refuses is a slip in the table; the tests read every default once.
        if (const auto wrong = Reader(config_, key, base_).read(*standard.get("v"))) {
          problems_.add(table_at, prefix + std::string(key.name), "the default " + *wrong);
        }
      }
    }
  }

  static std::string key_names(const Section& section) {
    std::string out;
    for (const std::string_view name : key_list(section)) {
      if (!out.empty()) out += ", ";
      out += name;
    }
    return out;
  }

  void finish() {
    // Contradictions between values that are wrong in themselves would only hide the first cause.
    if (!problems_.empty()) return;
    complete(config_, positions_);
    check_contradictions(config_, positions_, problems_);
    if (files_) check_files(config_, positions_, *files_, problems_);
  }

  const std::filesystem::path& base_;
  Problems problems_;
  Positions positions_;
  Config config_;
  std::optional<FileCheck> files_;
};

std::string join(const std::vector<std::string>& lines) {
  std::string out;
  for (const auto& line : lines) out += (out.empty() ? "" : "\n") + line;
  return out;
}

std::vector<std::string> bounded(std::vector<std::string> problems) {
  if (problems.size() <= kMaxProblemsReported) return problems;
  const auto more = problems.size() - kMaxProblemsReported;
  problems.resize(kMaxProblemsReported);
  problems.push_back("... and " + std::to_string(more) + " more problems");
  return problems;
}

std::string read_file(const std::filesystem::path& path) {
  // Opening a FIFO would wait for whoever writes into it.
  std::error_code error;
  if (std::filesystem::exists(path, error) && !std::filesystem::is_regular_file(path, error)) {
    throw ConfigError({path.string() + ": is not a regular file; give a file"});
  }
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  const int open_error = errno;
  std::string text(kMaxConfigBytes + 1, '\0');
  // A directory opens but does not read; both are the same to whoever gave the path.
  if (!file || (!file.read(text.data(), static_cast<std::streamsize>(text.size())) && !file.eof())) {
    const int read_error = file.is_open() ? errno : open_error;
    throw ConfigError({path.string() + ": cannot be read" +
                       (read_error != 0 ? std::string(" (") + std::strerror(read_error) + ")" : "") +
                       (read_error == ENOENT ? "; begin with a copy of examples/single-node.toml (installed in "
                                               "share/doc/slotwire/examples), or name another file"
                                             : "; give a file that slotwired's user may read")});
  }
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kMaxConfigBytes) {
    throw ConfigError(
        {path.string() + ": is larger than " + format_size(kMaxConfigBytes) + "; give a configuration file"});
  }
  return text;
}

}  // namespace

ConfigError::ConfigError(std::vector<std::string> problems)
    : std::runtime_error(join(bounded(problems))), problems_(bounded(std::move(problems))) {}

std::string format_problem(const std::string& source, Position at, const std::string& key, const std::string& text) {
  return source + ":" + std::to_string(at.line) + ":" + std::to_string(at.column) + ": " +
         (key.empty() ? "" : "key '" + key + "': ") + text;
}

std::filesystem::path keeper_socket_path(const std::filesystem::path& run_dir, std::string_view node) {
  return run_dir / (std::string(node) + ".keeper.sock");
}

std::filesystem::path keeper_lock_path(const std::filesystem::path& run_dir, std::string_view node) {
  return run_dir / (std::string(node) + ".keeper.lock");
}

Config parse_config(std::string_view text, const std::string& source, const std::filesystem::path& base) {
  return Parser(source, base).run(text, false);
}

Config load_config(const std::filesystem::path& path) {
  return parse_config(read_file(path), path.string(), std::filesystem::absolute(path).parent_path());
}

Config load_config_and_files(const std::filesystem::path& path, FileCheck how) {
  const std::filesystem::path base = std::filesystem::absolute(path).parent_path();
  Parser parser(path.string(), base);
  parser.check_files_as(how);
  return parser.run(read_file(path), false);
}

std::vector<ServiceConfig> parse_services(std::string_view text, const std::string& source) {
  return Parser(source, {}).run(text, true).services;
}

std::vector<ServiceConfig> load_services(const std::filesystem::path& path) {
  return parse_services(read_file(path), path.string());
}

std::string config_reference() {
  std::ostringstream out;
  out << "# Configuration of slotwired\n\n"
         "<!-- Written by `slotwired --print-config-reference` from the table that also checks the file. Do not edit. "
         "-->\n\n"
         "One TOML file. A key that is not in this list, a value of the wrong type or out of its range, and values "
         "that\n"
         "contradict each other are refused, all at once, each as\n"
         "`file:line:column: key 'section.key': what is wrong; what is expected`.\n\n"
         "Sizes are written `\"64KiB\"` (B, KiB, MiB, GiB). Durations are written `\"10ms\"` "
         "(us, ms,\n"
         "s, min, h). Relative paths are taken from the directory of the file. Only `node.name` must be given.\n";
  for (const auto& section : config_sections()) {
    out << "\n## " << (section.repeated ? "[[" : "[") << section.name << (section.repeated ? "]]" : "]") << "\n\n"
        << section.text << "\n\n| key | value | default | meaning |\n|---|---|---|---|\n";
    for (const Key& key : config_keys()) {
      if (key.section != section.name) continue;
      out << "| `" << key.name << "` | " << describe_expected(key) << " | ";
      if (key.required) {
        out << "must be given";
      } else if (!key.standard.empty()) {
        out << '`' << key.standard << '`';
      } else {
        out << key.otherwise;
      }
      out << " | " << key.text << " |\n";
    }
  }
  return out.str();
}

}  // namespace slotwire::engine
