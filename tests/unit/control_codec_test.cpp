// The control messages: written and read by one codec, and what is wrong with a message is said by name.
#include "runtime/control/codec.hpp"

#include <gtest/gtest.h>

#include <string>

namespace slotwire::control {
namespace {

template <class M>
M through_peer(const M& message) {
  const core::Result<PeerMessage> read = decode_peer(encode_peer(message));
  EXPECT_TRUE(read.ok()) << (read.ok() ? "" : read.error().text);
  return std::get<M>(read.value());
}

std::string peer_problem(const std::string& text) {
  const core::Result<PeerMessage> read = decode_peer(text);
  return read.ok() ? "accepted" : read.error().text;
}

std::string request_problem(const std::string& text) {
  const auto read = decode_request(text);
  const auto* const invalid = std::get_if<InvalidRequest>(&read);
  return invalid == nullptr ? "accepted" : invalid->text;
}

TEST(ControlCodec, MessagesBetweenEnginesComeBackAsTheyWere) {
  PeerHello hello;
  hello.node = "left";
  hello.incarnation = 0xfedcba9876543210U;
  hello.udp_port = 7401;
  hello.token.assign(kTokenBytes, std::byte{0xa5});
  hello.encryption = "aes-256-gcm";
  hello.ports = {7401, 7402};
  const PeerHello back = through_peer(hello);
  EXPECT_EQ(back.node, "left");
  EXPECT_EQ(back.incarnation, hello.incarnation);
  EXPECT_EQ(back.token, hello.token);
  EXPECT_EQ(back.ports, hello.ports);
  EXPECT_EQ(back.encryption, "aes-256-gcm");

  const Sync sync = through_peer(Sync{{{1, 2, 3}, {4, 5, 65535}}, false});
  ASSERT_EQ(sync.pairs.size(), 2U);
  EXPECT_EQ(sync.pairs[1].receiver_slot, 4);
  EXPECT_EQ(sync.pairs[1].sender_slot, 5);
  EXPECT_EQ(sync.pairs[1].epoch, 65535);
  EXPECT_FALSE(sync.last);

  const PeerClose close = through_peer(PeerClose{.slot = -1, .from_slot = 9, .epoch = 7, .reason = End::peer_fault});
  EXPECT_EQ(close.slot, PeerClose::kUnknownSlot);
  EXPECT_EQ(close.reason, End::peer_fault);

  const Open open = through_peer(Open{.id = 1,
                                      .service = "orders",
                                      .slot = 2,
                                      .epoch = 3,
                                      .in_order = 6,
                                      .out_order = 7,
                                      .from = {"client", 42, 1000}});
  EXPECT_EQ(open.service, "orders");
  EXPECT_EQ(open.from.pid, 42U);
}

TEST(ControlCodec, RequestsAnswersAndEventsComeBackAsTheyWere) {
  const auto request = decode_request(
      encode_request(7, Connect{.service = "orders", .in_bytes = 4096, .out_bytes = 8192, .timeout_ms = 50}));
  const auto& packet = std::get<RequestPacket>(request);
  EXPECT_EQ(packet.id, 7U);
  EXPECT_EQ(std::get<Connect>(packet.request).out_bytes, 8192U);

  SlotInfo info;
  info.slot = 12;
  info.local = 3;
  info.in_order = 6;
  info.service = "orders";
  info.direct = true;
  info.peer = {"left", "client", 42, 1000};
  const auto answer = decode_from_engine(encode_answer(7, info));
  ASSERT_TRUE(answer.ok());
  const core::Result<SlotInfo> back = decode_answer<SlotInfo>(std::get<Answer>(answer.value()));
  ASSERT_TRUE(back.ok()) << back.error().text;
  EXPECT_EQ(back.value().slot, 12);
  EXPECT_TRUE(back.value().direct);
  EXPECT_EQ(back.value().peer.name, "client");

  const auto refused = decode_from_engine(encode_refusal(8, {"quota", "too many"}));
  ASSERT_TRUE(refused.ok());
  EXPECT_EQ(std::get<Answer>(refused.value()).refusal.value().code, "quota");

  const auto event = decode_from_engine(encode_event(Accepted{info}));
  ASSERT_TRUE(event.ok());
  EXPECT_EQ(std::get<Accepted>(std::get<Event>(event.value())).slot.local, 3U);
}

TEST(ControlCodec, FieldsOfLaterReleasesAreIgnored) {
  EXPECT_EQ(request_problem(R"({"op":"serve","id":1,"service":"s","colour":{"deep":[1,[2]]}})"), "accepted");
  const auto message = decode_peer(R"({"type":"dance","with":"whom"})");
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(std::get<UnknownMessage>(message.value()).type, "dance");
  const auto event = decode_from_engine(R"({"ev":"dance"})");
  ASSERT_TRUE(event.ok());
  EXPECT_TRUE(std::holds_alternative<UnknownEvent>(event.value()));
}

TEST(ControlCodec, WhatIsWrongIsSaidByName) {
  EXPECT_EQ(request_problem(R"({"op":"serve","id":1})"), "in 'serve': 'service' is missing");
  EXPECT_EQ(request_problem(R"({"op":"serve","id":1,"service":7})"), "in 'serve': 'service' is not a text");
  EXPECT_EQ(request_problem(R"({"op":"close","id":1,"local":-1})"),
            "in 'close': 'local' is not a whole number from 0 to 4294967295");
  EXPECT_EQ(request_problem(R"({"op":"close","id":1,"local":1.5})"),
            "in 'close': 'local' is not a whole number from 0 to 4294967295");
  EXPECT_EQ(request_problem(R"({"op":"fly","id":1})"), "there is no request 'fly'");
  EXPECT_EQ(request_problem(R"({"op":"status","id":-1})"), "'id' is a number from 1 on");
  EXPECT_EQ(peer_problem(R"({"type":"open","id":1,"service":"s","slot":65536})"),
            "in 'open': 'slot' is not a whole number from 0 to 65535");
  EXPECT_EQ(peer_problem(R"({"type":"opened","id":1,"slot":7,"to":{"pid":"x"}})"),
            "in 'opened': 'to.pid' is not a whole number from 0 to 4294967295");
  EXPECT_EQ(peer_problem(R"({"type":"opened","id":1,"slot":7,"to":[]})"), "in 'opened': 'to' is not a JSON object");
  EXPECT_EQ(peer_problem(R"({"type":"sync","pairs":[[1,2]],"last":true})"),
            "in 'sync': 'pairs' has an entry that is not three whole numbers from 0 to 65535");
  EXPECT_EQ(peer_problem(R"({"type":"sync","pairs":[],"last":1})"), "in 'sync': 'last' is neither true nor false");
  EXPECT_EQ(peer_problem(R"({"type":"hello","version":1,"node":"n","incarnation":"xyz"})"),
            "in 'hello': 'incarnation' is not a hexadecimal number of at most 64 bits");
  EXPECT_EQ(peer_problem(R"({"type":"hello","version":1,"node":"n","incarnation":"1","token":"a5"})"),
            "in 'hello': 'token' is not a text of 32 hexadecimal digits");
  EXPECT_EQ(peer_problem("[]"), "it is not a JSON object");
  EXPECT_EQ(peer_problem("{}"), "it has no 'type'");
}

TEST(ControlCodec, HoldsItsLimits) {
  const std::string long_name(kMaxServiceText + 1, 's');
  EXPECT_EQ(request_problem(R"({"op":"serve","id":1,"service":")" + long_name + "\"}"),
            "in 'serve': 'service' is longer than 255 bytes");
  std::string ports = "1";
  for (std::size_t i = 0; i < kMaxPorts; ++i) ports += ",1";
  EXPECT_EQ(peer_problem(R"({"type":"hello","version":1,"node":"n","incarnation":"1","ports":[)" + ports + "]}"),
            "in 'hello': 'ports' has more than 16 entries");
  EXPECT_EQ(peer_problem(R"({"type":"hello","version":1,"node":"n","incarnation":"1","ports":[]})"),
            "in 'hello': 'ports' is an empty list; leave it out instead");
  const std::string deep = std::string(kMaxDepth + 1, '[') + std::string(kMaxDepth + 1, ']');
  EXPECT_EQ(peer_problem(deep), "it is nested deeper than 8 levels");
  EXPECT_NE(peer_problem(R"({"type":"error","text":"[[[[[[[[[[[["})"), "it is nested deeper than 8 levels")
      << "brackets within a text do not count";
  EXPECT_EQ(peer_problem(R"({"type":"error","text":"\"[[[[[[[[[[[["})"), "accepted");
  // Half a million levels: refused before a parser sees them.
  EXPECT_EQ(peer_problem(std::string(500'000, '[')), "it is nested deeper than 8 levels");
}

TEST(ControlCodec, RequestsThatAreAnsweredNeedAnId) {
  for (const char* const op : {"serve\",\"service\":\"s", "status", "slots", "cut\",\"link\":\"b"}) {
    const std::string problem = request_problem(std::string(R"({"op":")") + op + "\"}");
    EXPECT_NE(problem.find("'id' is missing"), std::string::npos) << op << ": " << problem;
  }
  EXPECT_EQ(request_problem(R"({"op":"status"})"),
            "in 'status': 'id' is missing; give each request a number from 1 on");
  EXPECT_EQ(request_problem(R"({"op":"bye"})"), "accepted") << "nothing answers it";
  EXPECT_EQ(request_problem(R"({"op":"report","figures":[]})"), "accepted");
  EXPECT_EQ(request_problem(R"({"op":"inspected","service":"s","language":"http","labels":[]})"), "accepted");
  // What asks for something wants an answer; what only does something may leave it at errors.
  for (const char* const op : {"status", "slots", "sessions", "figures", "inspections", "regions", "attached", "blocks",
                               "hello\",\"version\":2,\"x\":\"", "connect\",\"service\":\"s", "cut\",\"link\":\"b",
                               "capture\",\"link\":\"b"}) {
    const std::string problem = request_problem(std::string(R"({"id":0,"op":")") + op + "\"}");
    EXPECT_NE(problem.find("'id' is 0; give each request a number from 1 on"), std::string::npos) << op << problem;
  }
  EXPECT_EQ(request_problem(R"({"op":"serve","id":0,"service":"s"})"), "accepted");
  EXPECT_EQ(request_problem(R"({"op":"close","id":0,"local":1})"), "accepted");
}

TEST(ControlCodec, TextIsValidUtf8OnTheWayInAndOut) {
  EXPECT_EQ(peer_problem("{\"type\":\"error\",\"text\":\"\xc3\"}"), "it is not valid JSON in UTF-8");
  // A name whose limit falls into a character is cut before it.
  Hello hello;
  hello.name = std::string(kMaxName - 1, 'x') + "\xc3\xa9";  // one byte too long
  const auto read = decode_request(encode_request(1, hello));
  EXPECT_EQ(std::get<Hello>(std::get<RequestPacket>(read).request).name, std::string(kMaxName - 1, 'x'));
  // What is not UTF-8 inside the engine is replaced, never thrown at.
  const auto error = decode_peer(encode_peer(PeerError{"\xff\xfe"}));
  ASSERT_TRUE(error.ok());
  EXPECT_EQ(std::get<PeerError>(error.value()).text, "\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(ControlCodec, TextsOfOthersForgeNoLinesInALog) {
  const auto error = decode_peer(R"({"type":"error","text":"\u001b[31mred\nFAKE LINE\u007f\u0000"})");
  ASSERT_TRUE(error.ok());
  EXPECT_EQ(std::get<PeerError>(error.value()).text, "?[31mred?FAKE LINE??");
}

TEST(ControlCodec, AnotherVersionIsReadNoFurtherThanItsVersion) {
  const auto request = decode_request(R"({"op":"hello","id":1,"version":9,"name":{"first":"x"}})");
  EXPECT_EQ(std::get<Hello>(std::get<RequestPacket>(request).request).version, 9);
  const auto hello = decode_peer(R"({"type":"hello","version":9,"node":"n","incarnation":[]})");
  ASSERT_TRUE(hello.ok()) << hello.error().text;
  EXPECT_EQ(std::get<PeerHello>(hello.value()).version, 9);
  EXPECT_EQ(std::get<PeerHello>(hello.value()).node, "n");
}

TEST(ControlCodec, CutsTextBetweenCharacters) {
  for (std::size_t bytes = 0; bytes <= 7; ++bytes) {
    std::string text = "a\xc3\xa9\xe2\x82\xac";  // 1, 2 and 3 bytes
    cut_text(text, bytes);
    const std::size_t expected = bytes >= 6 ? 6 : bytes >= 3 ? 3 : bytes >= 1 ? 1 : 0;
    EXPECT_EQ(text.size(), expected) << bytes;
  }
}

}  // namespace
}  // namespace slotwire::control
