// A request at a FastCGI server, such as PHP-FPM.
#pragma once
#include "web/bridge/fastcgi.hpp"
#include "web/bridge/relay.hpp"

namespace slotwire::web::bridge {

/// A connection for each request, which ends with it: a kept one would hold a child of PHP-FPM.
class FastCgiRelay final : public Relay {
 public:
  FastCgiRelay(Bridge& bridge, Application& application, Request request);

 private:
  void begin() override;
  void frame_piece(std::size_t bytes) override;
  void end_piece() override {}
  void end_body() override;
  void understand() override;
  void stream_ended() override;

  bool read_content();
  /// Gives body to the client, and discards what is more than was announced.
  std::size_t give_body(std::string_view content);
  std::size_t read_head(std::string_view content);
  void begin_response();
  void read_errors(std::string_view content);
  void note_errors();
  void request_ended();

  http::HeadLimits limits_;
  ScriptOptions script_;
  fastcgi::Record record_;
  std::size_t content_left_ = 0, padding_left_ = 0;
  std::string header_;                      ///< of a record, as far as it has come
  std::string head_;                        ///< of the output, as far as it has come
  std::string end_;                         ///< the content of the last record
  std::string errors_;                      ///< a line that is not complete, as far as it is kept
  std::size_t errors_more_ = 0;             ///< bytes of it that are not
  std::optional<std::uint64_t> body_left_;  ///< of what its Content-Length says; none: it says nothing
  bool in_body_ = false;
  bool said_excess_ = false;
};

}  // namespace slotwire::web::bridge
