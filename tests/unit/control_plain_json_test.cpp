// The short way to read JSON finds what the full parser finds, in every text that it takes.
#include "runtime/control/plain_json.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "runtime/control/codec.hpp"

namespace slotwire::control {
namespace {

bool same(const PlainJson::Value& plain, const Json& json) {
  if (plain.is_object()) {
    if (!json.is_object()) return false;
    bool all = true;
    std::size_t found = 0;
    for (const auto& [key, value] : json.items()) {
      const PlainJson::Value under = plain.find(key);
      all = all && under && same(under, value);
      ++found;
    }
    return all && found <= plain.size();  // a key may be there twice
  }
  if (plain.is_list()) {
    if (!json.is_array() || json.size() != plain.size()) return false;
    bool all = true;
    std::size_t at = 0;
    plain.for_each([&](const PlainJson::Value& entry) { return all = same(entry, json[at++]); });
    return all;
  }
  if (plain.is_text()) return json.is_string() && json.get<std::string>() == plain.text();
  if (plain.is_flag()) return json.is_boolean() && json.get<bool>() == plain.flag();
  if (std::int64_t number = 0; plain.whole(number))
    return json.is_number_integer() && json.get<std::int64_t>() == number &&
           json.is_number_unsigned() == plain.is_unsigned();
  return json.is_null();
}

const std::vector<std::string>& texts() {
  static const std::vector<std::string> all{
      R"({"type":"open","id":1,"service":"orders","slot":2,"from":{"name":"a","pid":7,"uid":0},"more":[1,-2,[3,[]],{}]})",
      R"( { "a" : true , "b":false,"c":null ,	"d":-0,"e":999999999999999999,"e":0 } )",
      R"([[[[[[[["eight"]]]]]]]])",
      R"({"text":"Dvo\u0159\u00e1k","also":"Dvořák","float":1.5,"large":99999999999999999999,"exponent":1e3})",
      encode_peer(Sync{{{1, 2, 3}, {4, 5, 65535}}, true}),
      encode_peer(PeerClose{.slot = -1, .from_slot = 9, .epoch = 7, .reason = End::died}),
      encode_request(7, Connect{.service = "orders", .in_bytes = 4096})};
  return all;
}

TEST(PlainJson, TakesWhatTheCodecWrites) {
  for (const std::string& text : {texts()[4], texts()[5], texts()[6]}) {
    PlainJson plain;
    ASSERT_TRUE(plain.parse(text)) << text;
    EXPECT_TRUE(same(plain.root(), Json::parse(text))) << text;
  }
  PlainJson plain;
  EXPECT_TRUE(plain.parse(texts()[1]));
  EXPECT_TRUE(plain.parse(texts()[2]));
}

TEST(PlainJson, LeavesTheRestToTheFullParser) {
  PlainJson plain;
  for (const char* const text : {"",
                                 " ",
                                 "{",
                                 "}",
                                 "{\"a\"}",
                                 "{\"a\":}",
                                 "{\"a\":1,}",
                                 "{a:1}",
                                 "[1,]",
                                 "[1 2]",
                                 "[,1]",
                                 "{\"a\":1}x",
                                 "01",
                                 "-",
                                 "-01",
                                 "+1",
                                 "1.0",
                                 "1e3",
                                 "1E3",
                                 "0x1",
                                 "1234567890123456789",
                                 "tru",
                                 "truex",
                                 "nul",
                                 "nan",
                                 "'a'",
                                 "\"a",
                                 "\"\\n\"",
                                 "\"a\nb\"",
                                 "\"\x7f\"",
                                 "\"\xc3\xa9\"",
                                 "[[[[[[[[[1]]]]]]]]]",
                                 "\xef\xbb\xbf{}"}) {
    EXPECT_FALSE(plain.parse(text)) << text;
  }
  std::string many = "[0";
  for (std::size_t i = 2; i < PlainJson::kMaxValues; ++i) many += ",0";
  EXPECT_TRUE(plain.parse(many + "]"));
  EXPECT_FALSE(plain.parse(many + ",0]"));
}

TEST(PlainJson, FindsWhatTheFullParserFinds) {
  constexpr int kRounds = 200'000;
  constexpr std::string_view kBytes = "{}[]\",:\\0123456789-.eE tfnulra\x7f\xc3";
  std::mt19937 random(1);
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  int taken = 0;
  for (int round = 0; round < kRounds; ++round) {
    std::string text = texts()[below(texts().size())];
    for (std::size_t changes = below(4); changes > 0 && !text.empty(); --changes) {
      const std::size_t at = below(text.size());
      switch (below(4)) {
        case 0:
          text[at] = kBytes[below(kBytes.size())];
          break;
        case 1:
          text.insert(at, 1, kBytes[below(kBytes.size())]);
          break;
        case 2:
          text.erase(at, 1 + below(3));
          break;
        default:
          text.insert(at, text.substr(below(text.size()), below(12)));
      }
    }
    PlainJson plain;
    if (!plain.parse(text)) continue;
    ++taken;
    const Json full = Json::parse(text, nullptr, false);
    ASSERT_FALSE(full.is_discarded()) << text;
    ASSERT_TRUE(same(plain.root(), full)) << text;
  }
  EXPECT_GT(taken, kRounds / 10) << "there must be something to compare";
}

TEST(PlainJson, NumbersHaveTheRangeOfTheirType) {
  PlainJson plain;
  ASSERT_TRUE(plain.parse("[65535,65536,-1,-128,999999999999999999]"));
  std::vector<PlainJson::Value> values;
  plain.root().for_each([&](const PlainJson::Value& value) {
    values.push_back(value);
    return true;
  });
  ASSERT_EQ(values.size(), 5U);
  std::uint16_t small = 0;
  EXPECT_TRUE(values[0].whole(small));
  EXPECT_EQ(small, 65535);
  EXPECT_FALSE(values[1].whole(small));
  EXPECT_FALSE(values[2].whole(small));
  std::int8_t narrow = 0;
  EXPECT_TRUE(values[3].whole(narrow));
  EXPECT_EQ(narrow, -128);
  std::uint64_t wide = 0;
  EXPECT_FALSE(values[3].whole(wide));
  EXPECT_TRUE(values[4].whole(wide));
  EXPECT_EQ(wide, 999'999'999'999'999'999U);
}

// A field that nobody knows sends a message the long way.
TEST(PlainJson, BothWaysEndInTheSameMessageAndTheSameWords) {
  const auto both = [](std::string text) {
    const auto plain = decode_peer(text);
    text.insert(1, "\"unknown\":\"\\u00e9\",");
    const auto full = decode_peer(text);
    EXPECT_EQ(plain.ok(), full.ok()) << text;
    if (!plain.ok() && !full.ok())
      return plain.error().text == full.error().text ? std::string("same words") : plain.error().text;
    if (!plain.ok() || !full.ok()) return std::string("differ");
    return encode_peer(plain.value()) == encode_peer(full.value()) ? std::string("same") : "differ";
  };
  EXPECT_EQ(
      both(encode_peer(Open{
          .id = 1, .service = "orders", .slot = 2, .epoch = 3, .in_order = 6, .out_order = 7, .from = {"a", 1, 2}})),
      "same");
  EXPECT_EQ(both(encode_peer(Sync{{{1, 2, 3}, {4, 5, 65535}}, true})), "same");
  EXPECT_EQ(both(R"({"type":"close","slot":1,"from_slot":70000,"epoch":2,"reason":"died"})"), "same words");
  EXPECT_EQ(both(R"({"type":"close","slot":1,"from_slot":"1","epoch":2,"reason":"died"})"), "same words");
  EXPECT_EQ(both(R"({"type":"sync","pairs":[[1,2]],"last":true})"), "same words");
  EXPECT_EQ(both(R"({"type":"sync","pairs":{},"last":true})"), "same words");
  EXPECT_EQ(both(R"({"type":"opened","id":1,"slot":2,"to":7})"), "same words");
  EXPECT_EQ(both(R"({"type":"opened","id":1,"slot":2,"to":{"name":7}})"), "same words");
  EXPECT_EQ(both(R"({"type":7})"), "same words");
}

TEST(PlainJson, WrittenTextIsWhatTheFullWriterWouldWrite) {
  const auto check = [](const auto& message) {
    Json expected = detail::to_json(message);
    expected["type"] = std::decay_t<decltype(message)>::kName;
    EXPECT_EQ(Json::parse(encode_peer(message)), expected);
  };
  check(Refused{.id = 18'446'744'073'709'551'615U, .code = "busy", .text = "a \"quoted\" text \\ of Dvořák\n\t"});
  check(Refused{.id = 1, .code = "busy", .text = std::string(2000, 'x')});
  for (const char* const text : {"a\\b", "a\"b", "a\nb", "a\x1f", "a\x7f", "\xc3\xa9", " ~", ""})
    check(Refused{.id = 1, .code = "busy", .text = text});
  check(PeerClose{.slot = -1, .from_slot = 65535, .epoch = 0, .reason = End::lost});
  check(Sync{{}, true});
  check(Ping{});
  PeerHello hello;
  hello.node = "left";
  hello.incarnation = 0xfedcba9876543210U;
  hello.token.assign(kTokenBytes, std::byte{0xa5});
  hello.ports = {1, 65535};
  check(hello);
  EXPECT_NE(encode_peer(Refused{.id = 1, .code = "c", .text = "\xff"}).find("\xef\xbf\xbd"), std::string::npos)
      << "what is no UTF-8 is replaced";
}

}  // namespace
}  // namespace slotwire::control
