// A request at an application that speaks HTTP/1.1.
#pragma once
#include "web/bridge/relay.hpp"

namespace slotwire::web::bridge {

/// Heads are parsed strictly and written anew, without what belongs to one connection alone.
class HttpRelay final : public Relay {
 public:
  HttpRelay(Bridge& bridge, Application& application, Request request);

 private:
  void begin() override;
  void frame_piece(std::size_t bytes) override;
  void end_piece() override;
  void end_body() override;
  void understand() override;
  std::size_t direct_bytes() const override;
  void took_direct(std::size_t bytes) override;
  void stream_ended() override;
  bool can_keep() const override { return keep_; }

  bool read_head();
  void begin_response(const http::Head& head);
  void splice(const http::Head& head);
  void check_end();

  http::HeadLimits limits_;
  http::HeadCollector head_;
  http::BodyReader body_;
  bool in_body_ = false;
  bool chunked_request_ = false;
  bool keep_ = false;
};

}  // namespace slotwire::web::bridge
