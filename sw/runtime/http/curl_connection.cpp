#include "runtime/http/curl_connection.hpp"

#include <unistd.h>

#include <boost/asio/error.hpp>

#include <algorithm>
#include <stdexcept>

namespace slotwire::http {

namespace asio = boost::asio;

CurlConnection::CurlConnection(Loop& loop, Easy easy)
    : loop_(loop),
      multi_(curl_multi_init()),
      easy_(std::move(easy)),
      timer_(loop, [this] { act(CURL_SOCKET_TIMEOUT, 0); }) {
  if (!multi_) throw std::runtime_error("libcurl cannot be set up: no memory");
  curl_multi_setopt(multi_.get(), CURLMOPT_SOCKETFUNCTION, &CurlConnection::on_socket);
  curl_multi_setopt(multi_.get(), CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_.get(), CURLMOPT_TIMERFUNCTION, &CurlConnection::on_timer);
  curl_multi_setopt(multi_.get(), CURLMOPT_TIMERDATA, this);
  CURL* const e = easy_.get();
  set(e, CURLOPT_CLOSESOCKETFUNCTION, &CurlConnection::on_close);
  set(e, CURLOPT_CLOSESOCKETDATA, this);
  set(e, CURLOPT_ERRORBUFFER, error_.data());
  // What a proxy says beside its status is of no use.
  set(e, CURLOPT_WRITEFUNCTION, &CurlConnection::on_data);
  set(e, CURLOPT_HEADERFUNCTION, &CurlConnection::on_data);
}

void CurlConnection::connect(Finished finished) {
  finished_ = std::move(finished);
  // It asks for a time-out of 0, so that its work begins from the loop.
  curl_multi_add_handle(multi_.get(), easy_.get());
}

void CurlConnection::close() {
  finished_ = nullptr;
  timer_.cancel();
  watch_.reset();
  watches_.clear();
  if (easy_ && multi_) curl_multi_remove_handle(multi_.get(), easy_.get());
  easy_.reset();
  multi_.reset();
  for (OperationPointer* const each : {&reading_, &writing_}) {
    if (const OperationPointer operation = std::exchange(*each, nullptr)) {
      operation->complete(asio::error::operation_aborted, 0);
    }
  }
}

// ---- connecting ----

int CurlConnection::on_socket(CURL*, curl_socket_t socket, int what, void* self, void*) {
  auto& connection = *static_cast<CurlConnection*>(self);
  if (what == CURL_POLL_REMOVE) {
    connection.watches_.erase(socket);
    return 0;
  }
  try {
    auto& watch = connection.watches_[socket];
    if (!watch) {
      watch = std::make_unique<Watch>(connection.loop_, socket, [&connection, socket](Readiness ready) {
        connection.act(socket, (ready.readable ? CURL_CSELECT_IN : 0) | (ready.writable ? CURL_CSELECT_OUT : 0));
      });
    }
    watch->want({(what & CURL_POLL_IN) != 0, (what & CURL_POLL_OUT) != 0});
  } catch (const std::exception&) {
    // Out of descriptors or memory: libcurl ends the transfer.
    connection.watches_.erase(socket);
    return -1;
  }
  return 0;
}

int CurlConnection::on_timer(CURLM*, long time_ms, void* self) {
  auto& connection = *static_cast<CurlConnection*>(self);
  if (time_ms < 0) {
    connection.timer_.cancel();
  } else {
    connection.timer_.after(std::chrono::milliseconds(time_ms));
  }
  return 0;
}

int CurlConnection::on_close(void* self, curl_socket_t socket) {
  auto& connection = *static_cast<CurlConnection*>(self);
  connection.watches_.erase(socket);
  return ::close(socket);
}

std::size_t CurlConnection::on_data(char* /*data*/, std::size_t size, std::size_t count, void* /*self*/) {
  return size * count;
}

void CurlConnection::act(curl_socket_t socket, int events) {
  if (!multi_ || !finished_) return;
  int running = 0, left = 0;
  curl_multi_socket_action(multi_.get(), socket, events, &running);
  const CURLMsg* const message = curl_multi_info_read(multi_.get(), &left);
  if (message == nullptr || message->msg != CURLMSG_DONE) return;
  const CURLcode code = message->data.result;
  const Finished finished = std::exchange(finished_, nullptr);
  timer_.cancel();
  if (code == CURLE_OK) connected();
  finished(code);
}

void CurlConnection::connected() {
  watches_.clear();
  curl_socket_t socket = CURL_SOCKET_BAD;
  curl_easy_getinfo(easy_.get(), CURLINFO_ACTIVESOCKET, &socket);
  if (socket == CURL_SOCKET_BAD) return;
  watch_ = std::make_unique<Watch>(loop_, socket, [this](Readiness ready) { go_on(ready); });
}

// ---- bytes ----

void CurlConnection::read(asio::mutable_buffer into, OperationPointer operation) {
  into_ = into;
  reading_ = std::move(operation);
  if (!try_read()) want();
}

void CurlConnection::write(asio::const_buffer from, OperationPointer operation) {
  from_ = from;
  writing_ = std::move(operation);
  if (!try_write()) want();
}

void CurlConnection::go_on(Readiness ready) {
  if (ready.readable && reading_) try_read();
  if (ready.writable && writing_) try_write();
  want();
}

void CurlConnection::want() {
  if (watch_) watch_->want({static_cast<bool>(reading_), static_cast<bool>(writing_)});
}

/// False: nothing is there now.
bool CurlConnection::try_read() {
  std::size_t got = 0;
  ErrorCode error;
  if (!watch_) {
    error = asio::error::not_connected;
  } else if (into_.size() != 0) {
    const CURLcode code = curl_easy_recv(easy_.get(), into_.data(), into_.size(), &got);
    if (code == CURLE_AGAIN) return false;
    if (code != CURLE_OK) {
      error = asio::error::connection_reset;
    } else if (got == 0) {
      error = asio::error::eof;
    } else if (got > readable_) {
      error = asio::error::message_size;
    } else {
      readable_ -= readable_ == ~std::size_t{0} ? 0 : got;
    }
  }
  std::exchange(reading_, nullptr)->complete(error, error ? 0 : got);
  return true;
}

/// False: no room now. TLS wants the same bytes again then, which are those of the operation.
bool CurlConnection::try_write() {
  std::size_t sent = 0;
  ErrorCode error;
  if (!watch_) {
    error = asio::error::not_connected;
  } else if (from_.size() != 0) {
    const CURLcode code = curl_easy_send(easy_.get(), from_.data(), from_.size(), &sent);
    if (code == CURLE_AGAIN) return false;
    if (code != CURLE_OK) error = asio::error::connection_reset;
  }
  std::exchange(writing_, nullptr)->complete(error, sent);
  return true;
}

}  // namespace slotwire::http
