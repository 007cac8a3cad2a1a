// FastCGI as a web server speaks it: records, parameters. No sockets.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "web/bridge/bridge.hpp"
#include "web/bridge/scripts.hpp"

namespace slotwire::web::bridge::fastcgi {

enum class Type : std::uint8_t {
  begin_request = 1,
  abort_request = 2,
  end_request = 3,
  params = 4,
  standard_input = 5,
  standard_output = 6,
  standard_error = 7,
};

inline constexpr std::size_t kHeaderBytes = 8;
inline constexpr std::size_t kMostContent = 65535;

/// The header of a record of request 1, without padding.
void append_header(std::string& out, Type type, std::size_t content);
/// A responder's request; the connection ends with it.
void append_begin(std::string& out);
/// One parameter within a params record.
void append_param(std::string& params, std::string_view name, std::string_view value);
/// The parameters in as many records as it takes, and their end. PHP reads each record by itself, so a parameter is in
/// one record as a whole. False: one is longer than a record, and nothing was appended.
bool append_params(std::string& out, std::string_view params);

struct Record {
  Type type{};
  std::size_t content = 0, padding = 0;
};
/// Decodes kHeaderBytes. False: no record of request 1 of this version.
bool decode_header(std::string_view bytes, Record& out);

/// The parameters of nginx's fastcgi_params, with SCRIPT_FILENAME and PATH_INFO, and HTTP_ for the request's fields.
/// `length`: of the body, bytes.
std::string make_params(const Exchange& exchange, const Script& script, const ScriptOptions& options,
                        std::optional<std::uint64_t> length);

}  // namespace slotwire::web::bridge::fastcgi
