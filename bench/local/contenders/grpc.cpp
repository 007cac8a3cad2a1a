// gRPC over a Unix socket, with the generic interface: bytes as they are, without Protocol Buffers, which would only
// add to it. Round trips are unary calls; one-way messages go over a stream of one call. Both sides wait on their
// completion queues, in which gRPC moves the messages.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <optional>
#include <stdexcept>

#include "registry.hpp"
#include "sides.hpp"

namespace slotwire::bench {
namespace {

grpc::ByteBuffer bytes_of(Bytes message) {
  const grpc::Slice slice(message.data(), message.size());
  return {&slice, 1};
}

class GrpcEnd {
 public:
  explicit GrpcEnd(const Setup& setup) {
    const std::string address = "unix:" + setup.path("grpc");
    if (setup.role == Role::server) {
      grpc::ServerBuilder builder;
      builder.AddListeningPort(address, grpc::InsecureServerCredentials());
      builder.RegisterAsyncGenericService(&service_);
      builder.SetMaxReceiveMessageSize(-1);
      server_queue_ = builder.AddCompletionQueue();
      server_ = builder.BuildAndStart();
      if (!server_) throw std::runtime_error("gRPC cannot listen at " + address);
      queue_ = server_queue_.get();
      request_next();
      setup.bound();
      return;
    }
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    stub_.emplace(grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
    queue_ = &client_queue_;
  }
  GrpcEnd(const GrpcEnd&) = delete;
  GrpcEnd& operator=(const GrpcEnd&) = delete;
  ~GrpcEnd() {
    stream_context_.TryCancel();
    if (server_) server_->Shutdown(std::chrono::system_clock::now());
    queue_->Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_->Next(&tag, &ok)) {
    }
  }

  template <typename Take>
  void call(Bytes request, Take take) {
    grpc::ClientContext context;
    const std::unique_ptr<grpc::GenericClientAsyncResponseReader> call =
        stub_->PrepareUnaryCall(&context, "/bench/echo", bytes_of(request), queue_);
    call->StartCall();
    grpc::ByteBuffer answer;
    grpc::Status status;
    Done finished;
    call->Finish(&answer, &status, &finished);
    wait(finished, "the call does not end");
    if (!status.ok()) throw std::runtime_error("the call failed: " + status.error_message());
    take_bytes(answer, take);
  }
  template <typename Answer>
  void answer(Answer answer) {
    const std::unique_ptr<Served> served = take_next();
    grpc::ByteBuffer request;
    Done read, finished;
    served->stream.Read(&request, &read);
    wait(read, "no request");
    grpc::ByteBuffer reply;
    take_bytes(request, [&](Bytes message) { reply = bytes_of(answer(message)); });
    served->stream.WriteAndFinish(reply, {}, grpc::Status::OK, &finished);
    wait(finished, "cannot answer");
  }

  // The stream starts with its first message: before, the server does not look at its queue.
  void send(Bytes message) { write(message, {}); }
  void send_batch(Bytes all, std::size_t size) {
    // All but the last one may wait in gRPC's buffer.
    for (std::size_t at = 0; at < all.size(); at += size)
      write(all.subspan(at, size),
            at + size < all.size() ? grpc::WriteOptions().set_buffer_hint() : grpc::WriteOptions());
  }
  template <typename Take>
  void receive(Take take) {
    if (!served_) served_ = take_next();
    grpc::ByteBuffer message;
    Done read;
    served_->stream.Read(&message, &read);
    wait(read, "the stream ended");
    take_bytes(message, take);
  }

 private:
  /// Tag of an operation.
  struct Done {
    bool over = false, ok = false;
  };
  struct Served {
    grpc::GenericServerContext context;
    grpc::GenericServerAsyncReaderWriter stream{&context};
    Done come;
  };
  void request_next() {
    next_ = std::make_unique<Served>();
    service_.RequestCall(&next_->context, &next_->stream, queue_, server_queue_.get(), &next_->come);
  }
  /// Waits for a call, and has the next one asked for before this one is answered.
  std::unique_ptr<Served> take_next() {
    wait(next_->come, "no call");
    std::unique_ptr<Served> served = std::move(next_);
    request_next();
    return served;
  }
  void wait(const Done& done, const char* what) {
    while (!done.over) {
      void* tag = nullptr;
      bool ok = false;
      if (!queue_->Next(&tag, &ok)) throw std::runtime_error(std::string("the queue ended: ") + what);
      *static_cast<Done*>(tag) = {.over = true, .ok = ok};
    }
    if (!done.ok) throw std::runtime_error(what);
  }
  void write(Bytes message, grpc::WriteOptions options) {
    if (!client_stream_) {
      client_stream_ = stub_->PrepareCall(&stream_context_, "/bench/stream", queue_);
      Done started;
      client_stream_->StartCall(&started);
      wait(started, "the stream does not start");
    }
    Done written;
    client_stream_->Write(bytes_of(message), options, &written);
    wait(written, "cannot write");
  }
  template <typename Take>
  static void take_bytes(const grpc::ByteBuffer& buffer, Take take) {
    grpc::Slice slice;
    if (!buffer.TrySingleSlice(&slice).ok() && !buffer.DumpToSingleSlice(&slice).ok())
      throw std::runtime_error("a message without bytes");
    take(Bytes(reinterpret_cast<const std::byte*>(slice.begin()), slice.size()));
  }

  grpc::AsyncGenericService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> server_queue_;
  std::unique_ptr<grpc::Server> server_;
  grpc::CompletionQueue client_queue_;
  grpc::CompletionQueue* queue_ = nullptr;
  std::optional<grpc::GenericStub> stub_;
  grpc::ClientContext stream_context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> client_stream_;
  std::unique_ptr<Served> next_, served_;
};

}  // namespace

Contender grpc() {
  return make_contender<GrpcEnd>("grpc", {.own_threads = true});
}

}  // namespace slotwire::bench
