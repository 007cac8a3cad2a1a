// One request under way at an application: the socket, and what HTTP and FastCGI have in common.
#pragma once
#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "web/bridge/bridge.hpp"
#include "web/http/body.hpp"

namespace slotwire::web::bridge {

/// Bytes go from the slot into the socket and back without being held: a side that does not read stops the other. The
/// client's abort closes the socket.
class Relay : public Source {
 public:
  Relay(Bridge& bridge, Application& application, Request request);
  ~Relay() override;
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  void start();
  void drive();
  void on_events(std::uint32_t events) final;
  Application& application() const { return application_; }

 protected:
  /// Connected: `text_` becomes the request's beginning.
  virtual void begin() = 0;
  /// Makes `text_` and `piece_left_` from the next bytes of the request's body.
  virtual void frame_piece(std::size_t bytes) = 0;
  virtual void end_piece() = 0;
  virtual void end_body() = 0;
  /// Bytes came from the application, in `rest_`.
  virtual void understand() = 0;
  /// Whether bytes of the response's body can be read into the ring itself: how many at most; 0: into `rest_`.
  virtual std::size_t direct_bytes() const { return 0; }
  virtual void took_direct(std::size_t /*bytes*/) {}
  /// The application ended its stream.
  virtual void stream_ended() = 0;
  virtual bool can_keep() const { return false; }

  Exchange& exchange() { return *request_.exchange; }
  /// Bytes of the body, if that is known.
  std::optional<std::uint64_t> body_length() const;
  const std::string& address() const { return application_.address.text; }
  /// Gives bytes of the response's body to the client; how many it took. Fewer: understand() is called again when
  /// there is room.
  std::size_t give(std::string_view data);
  /// The response is complete.
  void finish();
  /// The end without a complete response: an answer with `status` if none was begun, else it is broken off.
  void fail(unsigned status, const std::string& why);
  /// The application refused without having begun.
  void refuse(const std::string& why);
  /// An upgraded connection has ended in both directions.
  void end_splice() { end(); }
  void note(const std::string& text) { bridge_.note(text); }
  /// As Bridge::note_printed().
  void note_printed(const std::string& title, std::string_view text, std::size_t more) {
    bridge_.note_printed(title, text, more);
  }
  std::size_t most_of_error_line() const { return bridge_.options().errors.line_bytes; }
  bool is_over() const { return over_; }
  int fd() const { return fd_.get(); }
  std::string_view rest() const { return std::string_view(rest_).substr(rest_at_); }
  void take_rest(std::size_t bytes) { rest_at_ += bytes; }

  std::string text_;                         ///< to be sent before the next bytes of the body
  std::size_t piece_left_ = 0;               ///< bytes of the body that are framed already
  bool body_sent_ = false;                   ///< the whole request
  bool answered_ = false;                    ///< some byte of a response came
  bool spliced_ = false;                     ///< upgraded
  bool in_over_ = false, out_over_ = false;  ///< the directions of an upgraded connection

 private:
  void connect(bool fresh);
  void connected();
  void lost(const std::string& why);
  bool send();
  bool receive();
  bool receive_direct();
  Result<std::span<const std::byte>> peek_body();
  void consume_body(std::size_t bytes);
  bool next_piece();
  void sent(std::size_t bytes);
  void end();
  void abort();
  void watch_silence();
  bool waits_for_application() const;

  Bridge& bridge_;
  Application& application_;
  Request request_;
  Timer timer_, connect_timer_;
  slot::Fd fd_;
  Clock::time_point moved_ = Clock::now();
  std::string rest_;  ///< received and not understood yet
  std::size_t rest_at_ = 0;
  std::size_t text_at_ = 0;
  std::uint64_t sent_ = 0, body_taken_ = 0;
  bool connecting_ = false, reused_ = false, retried_ = false;
  bool readable_ = false, writable_ = false, hung_up_ = false;
  bool waits_for_body_ = false, waits_for_room_ = false, watches_room_ = false;
  bool send_failed_ = false;
  bool over_ = false;
};

}  // namespace slotwire::web::bridge
