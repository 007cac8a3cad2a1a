// gRPC over TCP: unary calls by the generic interface, bytes as they are, without Protocol Buffers, which would only
// add to it. Both ends wait on their completion queues, in which gRPC moves the messages. No one-way messages: gRPC has
// none.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <array>
#include <stdexcept>

#include "contender.hpp"

namespace slotwire::bench {
namespace {

class GrpcEnd final : public CallEnd {
 public:
  explicit GrpcEnd(const std::string& endpoint)
      : stub_(grpc::CreateChannel(endpoint, grpc::InsecureChannelCredentials())) {}
  void start(std::size_t number) override {
    auto call = std::make_unique<Call>();
    call->number = number;
    const grpc::Slice slice(data_.data(), data_.size());
    call->reader = stub_.PrepareUnaryCall(&call->context, "/bench/echo", grpc::ByteBuffer(&slice, 1), &queue_);
    call->reader->StartCall();
    Call* const under_way = call.release();  // finish() takes it back
    under_way->reader->Finish(&under_way->answer, &under_way->status, under_way);
  }
  void finish(const std::function<void(std::size_t)>& done) override {
    void* tag = nullptr;
    bool ok = false;
    if (!queue_.Next(&tag, &ok)) throw std::runtime_error("the queue ended");
    const std::unique_ptr<Call> call(static_cast<Call*>(tag));
    if (!ok || !call->status.ok()) throw std::runtime_error("a call failed: " + call->status.error_message());
    if (call->answer.Length() != kCallBytes) throw std::runtime_error("an answer of another size");
    done(call->number);
  }

 private:
  struct Call {
    grpc::ClientContext context;
    std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader;
    grpc::ByteBuffer answer;
    grpc::Status status;
    std::size_t number = 0;
  };
  grpc::GenericStub stub_;
  grpc::CompletionQueue queue_;
  std::array<std::byte, kCallBytes> data_{};
};

/// A call on the server: asked for, read, answered. Its address is the tag of its one operation under way.
struct Served {
  grpc::GenericServerContext context;
  grpc::GenericServerAsyncReaderWriter stream{&context};
  grpc::ByteBuffer request;
  enum { asked_for, read, answered } state = asked_for;
};

void serve_echo(const Ready& ready) {
  grpc::AsyncGenericService service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterAsyncGenericService(&service);
  const std::unique_ptr<grpc::ServerCompletionQueue> queue = builder.AddCompletionQueue();
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server) throw std::runtime_error("gRPC cannot listen on the loopback interface");
  const auto ask_for_next = [&] {
    auto* const next = std::make_unique<Served>().release();  // taken back when its tag comes out of the queue
    service.RequestCall(&next->context, &next->stream, queue.get(), queue.get(), next);
  };
  ask_for_next();
  ready("127.0.0.1:" + std::to_string(port));
  void* tag = nullptr;
  bool ok = false;
  while (queue->Next(&tag, &ok)) {
    std::unique_ptr<Served> call(static_cast<Served*>(tag));
    if (!ok) continue;
    switch (call->state) {
      case Served::asked_for:
        ask_for_next();
        call->state = Served::read;
        call->stream.Read(&call->request, call.get());
        break;
      case Served::read:
        call->state = Served::answered;
        call->stream.WriteAndFinish(call->request, {}, grpc::Status::OK, call.get());
        break;
      case Served::answered:
        continue;
    }
    call.release();  // the operation has it
  }
}

}  // namespace

Contender grpc() {
  return {.name = "grpc",
          .echo = [](const Ready& ready, std::size_t) { serve_echo(ready); },
          .call = [](const std::string& endpoint) { return std::make_unique<GrpcEnd>(endpoint); }};
}

}  // namespace slotwire::bench
