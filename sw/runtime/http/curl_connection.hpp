// For the sources of the client: a connection that libcurl makes, with all that lies on the way (names, a proxy's
// CONNECT and login, TLS), as a stream of bytes for Boost.Beast.
#pragma once
#include <curl/curl.h>

#include <boost/asio/async_result.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core/bind_handler.hpp>
#include <boost/beast/core/role.hpp>

#include <array>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "runtime/http/client_impl.hpp"
#include "runtime/http/loop.hpp"
#include "runtime/http/loop_asio.hpp"

namespace slotwire::http {

/// One thread, the loop's. It has a multi handle of its own: in one that makes requests, too, libcurl would close it as
/// an idle connection.
class CurlConnection {
 public:
  using ErrorCode = boost::system::error_code;
  using Finished = std::function<void(CURLcode)>;

  /// A read or a write that waits.
  class Operation {
   public:
    Operation() = default;
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;
    virtual ~Operation() = default;
    /// Passes the result on, later and from the loop.
    virtual void complete(ErrorCode error, std::size_t bytes) = 0;
  };
  using OperationPointer = std::unique_ptr<Operation>;

  /// `easy` is to connect only.
  CurlConnection(Loop& loop, Easy easy);
  ~CurlConnection() { close(); }
  CurlConnection(const CurlConnection&) = delete;
  CurlConnection& operator=(const CurlConnection&) = delete;

  /// `finished` is called once, from the loop, unless the connection is closed before. It may close it.
  void connect(Finished finished);
  /// After a connection that failed.
  CURL* easy() const { return easy_.get(); }
  std::string error_text() const { return error_.data(); }

  // One of each at a time, once connected. The memory stays until it is complete.
  void read(boost::asio::mutable_buffer into, OperationPointer operation);
  void write(boost::asio::const_buffer from, OperationPointer operation);
  /// More bytes than this are an error of read(), until it is called with another number.
  void limit_reading(std::size_t bytes) { readable_ = bytes; }

  /// Operations that wait are cancelled. Everything of libcurl is gone afterwards.
  void close();
  Loop& loop() { return loop_; }

 private:
  void act(curl_socket_t socket, int events);
  void connected();
  void go_on(Readiness ready);
  bool try_read();
  bool try_write();
  void want();
  static int on_socket(CURL*, curl_socket_t socket, int what, void* self, void*);
  static int on_timer(CURLM*, long time_ms, void* self);
  static int on_close(void* self, curl_socket_t socket);
  static std::size_t on_data(char* data, std::size_t size, std::size_t count, void* self);

  Loop& loop_;
  std::unique_ptr<CURLM, FreeMulti> multi_;
  Easy easy_;
  std::array<char, CURL_ERROR_SIZE> error_{};
  Timer timer_;
  std::map<curl_socket_t, std::unique_ptr<Watch>> watches_;
  std::unique_ptr<Watch> watch_;  ///< once connected
  Finished finished_;
  boost::asio::mutable_buffer into_;
  boost::asio::const_buffer from_;
  OperationPointer reading_, writing_;
  std::size_t readable_ = ~std::size_t{0};
};

/// A connection as a stream of Asio. All copies are the same stream.
class CurlStream {
 public:
  using executor_type = boost::asio::io_context::executor_type;
  using ErrorCode = CurlConnection::ErrorCode;

  explicit CurlStream(std::shared_ptr<CurlConnection> connection) : connection_(std::move(connection)) {}

  executor_type get_executor() const { return connection_->loop().impl().context.get_executor(); }
  CurlConnection& connection() { return *connection_; }

  template <class Buffers, class Handler>
  auto async_read_some(const Buffers& buffers, Handler&& handler) {
    return boost::asio::async_initiate<Handler, void(ErrorCode, std::size_t)>(
        [](auto&& each, CurlStream stream, boost::asio::mutable_buffer into) {
          stream.connection_->read(into, stream.operation(std::forward<decltype(each)>(each)));
        },
        handler, *this, first_of<boost::asio::mutable_buffer>(buffers));
  }
  template <class Buffers, class Handler>
  auto async_write_some(const Buffers& buffers, Handler&& handler) {
    return boost::asio::async_initiate<Handler, void(ErrorCode, std::size_t)>(
        [](auto&& each, CurlStream stream, boost::asio::const_buffer from) {
          stream.connection_->write(from, stream.operation(std::forward<decltype(each)>(each)));
        },
        handler, *this, first_of<boost::asio::const_buffer>(buffers));
  }

 private:
  template <class Handler>
  class HandlerOperation final : public CurlConnection::Operation {
   public:
    HandlerOperation(executor_type executor, Handler&& handler) : executor_(executor), handler_(std::move(handler)) {}
    void complete(ErrorCode error, std::size_t bytes) override {
      boost::asio::post(executor_, boost::beast::bind_front_handler(std::move(handler_), error, bytes));
    }

   private:
    executor_type executor_;
    Handler handler_;
  };

  template <class Handler>
  CurlConnection::OperationPointer operation(Handler&& handler) {
    return std::make_unique<HandlerOperation<std::decay_t<Handler>>>(get_executor(), std::forward<Handler>(handler));
  }

  /// The first part of a sequence that is not empty: what is longer takes several calls.
  template <class Buffer, class Buffers>
  static Buffer first_of(const Buffers& buffers) {
    const auto end = boost::asio::buffer_sequence_end(buffers);
    for (auto it = boost::asio::buffer_sequence_begin(buffers); it != end; ++it) {
      if (const Buffer buffer(*it); buffer.size() != 0) return buffer;
    }
    return {};
  }

  std::shared_ptr<CurlConnection> connection_;
};

// Beast's ways to end a stream: at once, since nobody waits for what the other end says to that.

template <class Handler>
void async_teardown(boost::beast::role_type, CurlStream& stream, Handler&& handler) {
  boost::asio::post(stream.get_executor(),
                    boost::beast::bind_front_handler(std::forward<Handler>(handler), CurlStream::ErrorCode{}));
}
inline void teardown(boost::beast::role_type, CurlStream& /*stream*/, CurlStream::ErrorCode& error) {
  error = {};
}
inline void beast_close_socket(CurlStream& stream) {
  stream.connection().close();
}

}  // namespace slotwire::http
