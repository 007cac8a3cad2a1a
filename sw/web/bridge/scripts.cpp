#include "web/bridge/scripts.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "web/bridge/fastcgi.hpp"
#include "web/http/head.hpp"
#include "web/http/text.hpp"

namespace slotwire::web::bridge::fastcgi {
namespace {

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// "%2e" is ".". False: an invalid escape or a NUL.
bool decode(std::string_view text, std::string& out) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return false;
    const int high = hex(text[i + 1]);
    const int low = hex(text[i + 2]);
    if (high < 0 || low < 0 || high + low == 0) return false;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return true;
}

/// Without "." and "..", and one slash where there were several. False: it leads out of the root.
bool normalise(const std::string& path, std::string& out) {
  std::vector<std::string_view> parts;
  std::string_view rest(path);
  bool ends_with_slash = false;
  while (!rest.empty()) {
    const std::size_t slash = rest.find('/');
    const std::string_view part = rest.substr(0, slash);
    rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
    ends_with_slash = part.empty() || part == "." || part == ".." || (rest.empty() && slash != std::string_view::npos);
    if (part == "..") {
      if (parts.empty()) return false;
      parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
  }
  for (const std::string_view part : parts) out.append("/").append(part);
  if (ends_with_slash || parts.empty()) out += '/';
  return true;
}

/// A parameter's name and lengths: more than any of those that have the path or the target in them.
constexpr std::size_t kParamOverhead = 32;

/// What is at a path of the root.
enum class Found : std::uint8_t {
  regular,
  directory,
  other,        ///< a socket, a device
  absent,       ///< and what is before its last slash is a directory, or absent, too
  behind_file,  ///< something before its last slash is no directory
  unseen,       ///< this process may not look, or cannot
};

Found look(const ScriptOptions& options, const std::string& path, Script& script) {
  const std::string full = options.seen_root() + path;
  struct stat status {};
  if (::stat(full.c_str(), &status) == 0) {
    if (S_ISREG(status.st_mode)) return Found::regular;
    return S_ISDIR(status.st_mode) ? Found::directory : Found::other;
  }
  switch (errno) {
    case ENOTDIR:
      return Found::behind_file;
    case ENOENT:
    case ENAMETOOLONG:
      return Found::absent;
    default:
      script.problem = "'" + full + "' cannot be looked at: " + std::strerror(errno);
      return Found::unseen;
  }
}

void not_found(Script& script) {
  script.status = http::kNotFound;
}

/// The script that an option names.
void take_named(Script& script, const char* option, const std::string& name, const ScriptOptions& options) {
  if (options.sees_root && look(options, name, script) != Found::regular) {
    if (script.problem.empty())
      script.problem = std::string(option) + " '" + name + "' is no file in '" + options.seen_root() + "'";
    return not_found(script);
  }
  script.name = name;
}

void take_front(Script& script, const ScriptOptions& options) {
  if (options.front.empty()) return not_found(script);
  take_named(script, "--front", options.front, options);
}

void split(Script& script, const std::string& path, std::size_t end) {
  script.name = path.substr(0, end);
  script.path_info = path.substr(end);
}

/// By the files that are there. PHP looks for a file itself when it is given a path that is none (cgi.fix_pathinfo),
/// from the end to the front, and runs what it finds, whatever its name: so it is never given one.
void find_by_files(Script& script, const std::string& path, const ScriptOptions& options) {
  for (std::size_t begin = 1, end = 0; begin < path.size(); begin = end + 1) {
    end = std::min(path.find('/', begin), path.size());
    if (!std::string_view(path).substr(begin, end - begin).ends_with(options.suffix)) continue;
    const Found found = look(options, path.substr(0, end), script);
    if (found == Found::regular) return split(script, path, end);
    if (found != Found::directory) return not_found(script);
  }
  switch (look(options, path, script)) {
    case Found::directory:
      if (path.ends_with('/') && look(options, path + options.index, script) == Found::regular) {
        script.name = path + options.index;
        return;
      }
      return take_front(script, options);
    case Found::regular:
    case Found::absent:
      return take_front(script, options);
    case Found::other:
    case Found::behind_file:
    case Found::unseen:
      return not_found(script);
  }
}

/// Of a root that this process does not see.
void find_by_names(Script& script, const std::string& path, const ScriptOptions& options) {
  // "/a.php/b/" is the script "/a.php" with the path "/b/": only a path without a script has an index.
  if (const std::size_t at = path.find(options.suffix + "/"); at != std::string::npos)
    return split(script, path, at + options.suffix.size());
  if (path.ends_with(options.suffix)) {
    script.name = path;
  } else if (path.ends_with('/') && options.front.empty()) {
    script.name = path + options.index;
  } else {
    take_front(script, options);
  }
}

}  // namespace

Script find_script(std::string_view target, const ScriptOptions& options) {
  Script script;
  if (!target.starts_with('/')) {
    script.status = http::kBadRequest;
    return script;
  }
  if (target.size() + options.root.size() + kParamOverhead > kMostContent) {
    script.status = http::kTargetTooLong;
    return script;
  }
  const std::size_t question = target.find('?');
  if (question != std::string_view::npos) script.query = target.substr(question + 1);
  std::string decoded;
  std::string path;
  if (!decode(target.substr(0, question), decoded) || !normalise(decoded, path)) {
    script.status = http::kBadRequest;
    return script;
  }
  script.document_uri = path;
  if (!options.only.empty()) {
    take_named(script, "--script", options.only, options);
  } else if (options.sees_root) {
    find_by_files(script, path, options);
  } else {
    find_by_names(script, path, options);
  }
  return script;
}

}  // namespace slotwire::web::bridge::fastcgi

namespace slotwire::web::bridge {
namespace {

void check_script(const char* option, const std::string& name, const ScriptOptions& options) {
  if (name.empty()) return;
  const auto wrong = [&](const std::string& why) {
    throw std::runtime_error(std::string(option) + " '" + name + "' " + why +
                             "; give the path of a script below --root, such as /index.php");
  };
  std::string clean;
  if (!fastcgi::normalise(name, clean) || clean != name)
    wrong("is no plain path: it has '..', '.' or a slash too many");
  if (name.find('?') != std::string::npos) wrong("has a query; requests bring their own");
  if (!name.ends_with(options.suffix)) wrong("does not end with '" + options.suffix + "' (--suffix)");
  if (!options.sees_root) return;
  fastcgi::Script script;
  const fastcgi::Found found = fastcgi::look(options, name, script);
  if (found == fastcgi::Found::unseen) wrong("cannot be used: " + script.problem);
  if (found != fastcgi::Found::regular)
    wrong("is no file: '" + options.seen_root() + name + "' is not there, or is no regular file");
}

void check_field(const char* option, const std::string& name) {
  if (name.empty()) return;
  const std::string given = std::string(option) + " '" + name + "' ";
  // A dollar sign may be in a name, but no field begins with one.
  if (name.starts_with('$')) {
    throw std::runtime_error(given +
                             "is a variable of the web server, not a field; have it set in a field there, as by "
                             "'slotwire_set_header X-My-Field " +
                             name + ";' of nginx, and give the name of that field");
  }
  if (!http::is_valid_name(name)) {
    throw std::runtime_error(given +
                             "is no name of a field; give that of a field which the web server sets, such as "
                             "X-Real-IP: letters, digits and hyphens");
  }
}

}  // namespace

void check_script_options(const ScriptOptions& options) {
  if (options.suffix.empty() || options.suffix.find('/') != std::string::npos) {
    throw std::runtime_error("--suffix '" + options.suffix + "' " +
                             (options.suffix.empty() ? "is empty, and every file would be a script" : "has a slash") +
                             "; give what the names of scripts end with, such as .php");
  }
  if (options.index.find('/') != std::string::npos || !options.index.ends_with(options.suffix)) {
    throw std::runtime_error("--index '" + options.index +
                             "' must be the name of a script in each directory, without " +
                             "slashes, which ends with '" + options.suffix + "' (--suffix), such as index.php");
  }
  check_script("--front", options.front, options);
  check_script("--script", options.only, options);
  check_field("--remote-address", options.remote_address_field);
  check_field("--remote-port", options.remote_port_field);
  check_field("--remote-user", options.remote_user_field);
  check_field("--server-address", options.server_address_field);
  check_field("--server-port", options.server_port_field);
  check_field("--scheme", options.https_field);
}

}  // namespace slotwire::web::bridge
