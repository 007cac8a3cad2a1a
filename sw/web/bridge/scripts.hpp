// Which script of a FastCGI server answers a request.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace slotwire::web::bridge {

/// How requests become what PHP-FPM wants to know.
struct ScriptOptions {
  std::string root;                  ///< of the scripts, as the FastCGI server sees them
  std::string local_root;            ///< the same directory as this process sees it; empty: as `root`
  bool sees_root = true;             ///< false: it does not see it, and names alone say what is a script
  std::string index = "index.php";   ///< for a path of a directory that ends with a slash
  std::string suffix = ".php";       ///< paths with a script of another name are not found
  std::string front;                 ///< "/index.php": answers every path that names no script; empty: 404
  std::string only;                  ///< "/index.php": answers every path, whatever it names; empty: none does
  std::string remote_address_field;  ///< whose value is REMOTE_ADDR; empty: REMOTE_ADDR is 127.0.0.1
  std::string https_field;           ///< "https" in this field sets HTTPS; empty: not known
  /// Whose values are REMOTE_PORT, REMOTE_USER and SERVER_ADDR; empty: there is no such parameter.
  std::string remote_port_field, remote_user_field, server_address_field;
  std::string server_port_field;  ///< whose value is SERVER_PORT; empty: that of Host, else 443 or 80

  const std::string& seen_root() const { return local_root.empty() ? root : local_root; }
};

/// Throws std::runtime_error when the options cannot be meant: names that are none, scripts that are not there (unless
/// ScriptOptions::sees_root is false). What belongs to `root` itself is not checked.
void check_script_options(const ScriptOptions& options);

namespace fastcgi {

/// What a request asks for. `status` is not 0 when no script answers it: 400 for a path that is invalid or leads out of
/// the root, 404 for one that names no script, 414 for one that is too long for FastCGI.
struct Script {
  std::uint16_t status = 0;
  std::string name, path_info, document_uri, query;
  std::string problem;  ///< of the files, for the log: what keeps a script from being found; empty: nothing unusual
};
/// Decodes and checks the path of `target`, and finds the script in it. It asks the file system, unless
/// ScriptOptions::sees_root is false: `name` was a regular file then, symbolic links followed. Any thread.
Script find_script(std::string_view target, const ScriptOptions& options);

}  // namespace fastcgi
}  // namespace slotwire::web::bridge
