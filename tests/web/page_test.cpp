// The page's parts without a server: metrics, sessions of browsers, names of the site.
#include <gtest/gtest.h>

#include "web/page/login.hpp"
#include "web/page/metrics.hpp"
#include "web/page/site.hpp"

namespace slotwire::web {
namespace {

using control::Json;
using namespace std::chrono_literals;

Snapshot example() {
  Snapshot snapshot;
  snapshot.node =
      Json{{"node", "left"},
           {"version", "1.2.3"},
           {"card", "soft"},
           {"links",
            {{{"peer", "right"},
              {"carrier", "udp"},
              {"up", true},
              {"control_connects", 3},
              {"congestion",
               {{"algorithm", "cubic"},
                {"window_lines", 220},
                {"srtt_us", 500},
                {"lost_nak", 44},
                {"limited_by", "window"}}}}}},
           {"counters", {{"tx_frames", 1234567890123}}},
           {"card_counters", {{"memory_refused", 7}}},
           {"services", {{{"service", "echo"}, {"processes", 2}, {"well", 1}, {"failing", 1}, {"drained", 0}}}},
           {"remote_services",
            {{{"service", "shop"}, {"node", "right"}, {"failing", true}, {"processes", 3}, {"well", 0}}}}};
  const auto slot = [](std::uint32_t tail, std::uint32_t head, const char* fault) {
    return Json{{"service", "echo"},
                {"acceptor", false},
                {"fault", fault},
                {"marks", {{"in_tail", tail}, {"in_head", head}, {"out_tail", 5}, {"out_head", 5}}}};
  };
  // Marks wrap around.
  snapshot.slots = Json::array({slot(2, 0xfffffffeU, "none"), slot(10, 10, "in_tail")});
  snapshot.answer_times.add(0.0003);
  snapshot.answer_times.add(100);
  return snapshot;
}

control::Json figures_of(const char* trace) {
  std::vector<std::uint64_t> buckets(control::kFigureBuckets);
  buckets[1] = 3;
  buckets[4] = 2;
  control::Figures figures;
  figures.service = "shop";
  figures.role = "server";
  figures.requests = 5;
  figures.errors = 1;
  figures.sum_us = 2500;
  figures.buckets = buckets;
  figures.exemplar_us = 900;
  figures.exemplar_trace = trace;
  return Json::array({{{"session", 7}, {"name", "web-1"}, {"pid", 42}, {"figures", control::figures_json({figures})}}});
}

bool has(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

TEST(PageMetrics, SayWhetherALinkOverHttpGoesOverAWebSocket) {
  auto snapshot = example();
  EXPECT_EQ(metrics_text(snapshot, MetricsFormat::prometheus).find("slotwire_link_http_websocket{"), std::string::npos);
  for (const auto& [way, value] : {std::pair("websocket", "1"), std::pair("requests", "0")}) {
    snapshot.node["links"][0]["http_way"] = way;
    const std::string text = metrics_text(snapshot, MetricsFormat::prometheus);
    EXPECT_TRUE(has(text, std::string("slotwire_link_http_websocket{peer=\"right\"} ") + value)) << way;
  }
}

TEST(PageMetrics, AreWhatTheNodeSays) {
  const std::string text = metrics_text(example(), MetricsFormat::prometheus);
  EXPECT_TRUE(has(text, "slotwire_up 1"));
  EXPECT_TRUE(has(text, "slotwire_build_info{version=\"1.2.3\",node=\"left\",card=\"soft\"} 1"));
  EXPECT_TRUE(has(text, "# TYPE slotwire_pipeline_tx_frames_total counter"));
  EXPECT_TRUE(has(text, "slotwire_pipeline_tx_frames_total 1234567890123"));
  EXPECT_TRUE(has(text, "# TYPE slotwire_card_memory_refused_total counter"));
  EXPECT_TRUE(has(text, "slotwire_card_memory_refused_total 7"));
  EXPECT_TRUE(has(text, "slotwire_card_interrupts_total 0"));
  EXPECT_TRUE(has(text, "slotwire_link_up{peer=\"right\",carrier=\"udp\"} 1"));
  EXPECT_TRUE(has(text, "slotwire_link_control_connects_total{peer=\"right\"} 3"));
  EXPECT_TRUE(has(text, "slotwire_link_window_lines{peer=\"right\"} 220"));
  EXPECT_TRUE(has(text, "slotwire_link_round_trip_seconds{peer=\"right\"} 0.0005"));
  EXPECT_TRUE(has(text, "slotwire_link_lost_nak_lines_total{peer=\"right\"} 44"));
  EXPECT_TRUE(has(text, "slotwire_link_limited{peer=\"right\",algorithm=\"cubic\",by=\"window\"} 1"));
  EXPECT_TRUE(has(text, "slotwire_service_slots{service=\"echo\",role=\"client\"} 2"));
  EXPECT_TRUE(has(text, "slotwire_service_faulted_slots{service=\"echo\",role=\"client\"} 1"));
  EXPECT_TRUE(has(text, "slotwire_service_unsent_bytes{service=\"echo\",role=\"client\"} 256"));
  EXPECT_TRUE(has(text, "slotwire_service_process_health{service=\"echo\",health=\"well\"} 1"));
  EXPECT_TRUE(has(text, "slotwire_service_process_health{service=\"echo\",health=\"failing\"} 1"));
  EXPECT_TRUE(has(text, "slotwire_service_process_health{service=\"echo\",health=\"drained\"} 0"));
  EXPECT_TRUE(has(text, "slotwire_remote_service_up{service=\"shop\",node=\"right\"} 0"));
  EXPECT_TRUE(has(text, "slotwire_remote_service_well_processes{service=\"shop\",node=\"right\"} 0"));
  EXPECT_TRUE(has(text, "slotwire_engine_answer_seconds_bucket{le=\"0.0005\"} 1"));
  EXPECT_TRUE(has(text, "slotwire_engine_answer_seconds_bucket{le=\"+Inf\"} 2"));
  EXPECT_EQ(text.find("# EOF"), std::string::npos);
}

TEST(PageMetrics, LimitsThatCallersSetThemselvesAreCountedByTheirName) {
  Snapshot snapshot = example();
  control::Figures figures;
  figures.service = "shop";
  figures.role = "client";
  figures.buckets.resize(control::kFigureBuckets);
  figures.limited_retries = 7;
  snapshot.figures =
      Json::array({{{"session", 7}, {"name", "nginx"}, {"pid", 42}, {"figures", control::figures_json({figures})}}});
  const std::string text = metrics_text(snapshot, MetricsFormat::prometheus);
  const std::string labels = "service=\"shop\",role=\"client\",process=\"nginx\",pid=\"42\",limit=";
  EXPECT_TRUE(has(text, "slotwire_request_limited_total{" + labels + "\"retries\"} 7")) << text;
  EXPECT_TRUE(has(text, "slotwire_request_limited_total{" + labels + "\"waiting\"} 0")) << text;
}

TEST(PageMetrics, MessagesOfInspectedServicesAreCountedByMethodOrCommand) {
  Snapshot snapshot = example();
  snapshot.inspections = Json::array({{{"service", "shop"},
                                       {"language", "http"},
                                       {"messages", {{"GET", 7}, {"other", 1}}},
                                       {"invalid", 2},
                                       {"refused", 1}}});
  const std::string text = metrics_text(snapshot, MetricsFormat::prometheus);
  EXPECT_TRUE(has(text, "slotwire_inspected_messages_total{service=\"shop\",language=\"http\",message=\"GET\"} 7"))
      << text;
  EXPECT_TRUE(has(text, "slotwire_inspected_messages_total{service=\"shop\",language=\"http\",message=\"other\"} 1"));
  EXPECT_TRUE(has(text, "slotwire_inspected_invalid_total{service=\"shop\"} 2"));
  EXPECT_TRUE(has(text, "slotwire_inspected_refused_total{service=\"shop\"} 1"));
}

TEST(PageMetrics, OpenMetricsNamesFamiliesWithoutTotalAndEnds) {
  const std::string text = metrics_text(example(), MetricsFormat::open_metrics);
  EXPECT_TRUE(has(text, "# TYPE slotwire_pipeline_tx_frames counter"));
  EXPECT_TRUE(has(text, "slotwire_pipeline_tx_frames_total 1234567890123"));
  EXPECT_EQ(text.substr(text.size() - 6), "# EOF\n");
}

TEST(PageMetrics, ANodeThatDoesNotAnswerIsDown) {
  Snapshot snapshot;
  snapshot.trouble = "slotwired cannot be reached";
  snapshot.failures = 7;
  const std::string text = metrics_text(snapshot, MetricsFormat::prometheus);
  EXPECT_TRUE(has(text, "slotwire_up 0"));
  EXPECT_TRUE(has(text, "slotwire_looks_failed_total 7"));
  EXPECT_EQ(text.find("slotwire_slots"), std::string::npos);
}

TEST(PageMetrics, NamesOfOthersCannotForgeLines) {
  Snapshot snapshot = example();
  snapshot.slots[0]["service"] = "a\"} 1\nslotwire_up 0\n\\";
  const std::string text = metrics_text(snapshot, MetricsFormat::prometheus);
  EXPECT_FALSE(has(text, "slotwire_up 0"));
  EXPECT_TRUE(has(text, R"(slotwire_service_slots{service="a\"} 1\nslotwire_up 0\n\\",role="client"} 1)"));
}

TEST(PageMetrics, OddAnswersAreNoAccident) {
  for (const char* answer :
       {"{}", "[]", "null", R"({"links":7,"counters":[],"carriers":{"a":1},"users":null,"services":[3]})"}) {
    Snapshot snapshot;
    snapshot.node = Json::parse(answer);
    snapshot.slots = Json::parse(R"([1, null, {"marks": 3}, {"marks": {"in_tail": "x"}}])");
    EXPECT_FALSE(metrics_text(snapshot, MetricsFormat::prometheus).empty());
  }
}

TEST(PageMetrics, FiguresOfProcessesAreHistogramsWithExemplars) {
  Snapshot snapshot = example();
  snapshot.figures = figures_of("4bf92f3577b34da6a3ce929d0e0e4736");
  const std::string labels = R"(service="shop",role="server",process="web-1",pid="42")";
  const std::string text = metrics_text(snapshot, MetricsFormat::open_metrics);
  EXPECT_TRUE(has(text, "slotwire_request_duration_seconds_bucket{" + labels + ",le=\"0.0001\"} 3"));
  EXPECT_TRUE(has(text, "slotwire_request_duration_seconds_bucket{" + labels +
                            ",le=\"0.001\"} 5 # {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"} 0.0009"));
  EXPECT_TRUE(has(text, "slotwire_request_duration_seconds_bucket{" + labels + ",le=\"+Inf\"} 5"));
  EXPECT_TRUE(has(text, "slotwire_request_duration_seconds_sum{" + labels + "} 0.0025"));
  EXPECT_TRUE(has(text, "slotwire_request_errors_total{" + labels + "} 1"));
  EXPECT_EQ(metrics_text(snapshot, MetricsFormat::prometheus).find("trace_id"), std::string::npos);
}

TEST(PageMetrics, TheFormatIsWhatIsAskedFor) {
  EXPECT_EQ(metrics_format("text/plain;version=0.0.4"), MetricsFormat::prometheus);
  EXPECT_EQ(metrics_format(""), MetricsFormat::prometheus);
  EXPECT_EQ(metrics_format("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"), MetricsFormat::open_metrics);
}

TEST(PageLogin, SessionsEndInTime) {
  Login login("0123456789abcdef");
  const Login::Clock::time_point start{};
  EXPECT_TRUE(login.is_token("0123456789abcdef"));
  EXPECT_FALSE(login.is_token("0123456789abcdeF"));
  EXPECT_FALSE(login.is_token(""));
  const std::string session = login.begin(start);
  EXPECT_TRUE(login.is_session(session, start + Login::kSessionTime - 1s));
  EXPECT_FALSE(login.is_session(session + "0", start));
  EXPECT_FALSE(login.is_session("", start));
  EXPECT_FALSE(login.is_session(session, start + Login::kSessionTime));
  EXPECT_FALSE(login.is_session(session, start));
}

TEST(PageLogin, TheOldestSessionGoesForANewOne) {
  Login login("0123456789abcdef");
  const Login::Clock::time_point start{};
  const std::string first = login.begin(start), second = login.begin(start + 1s);
  for (std::size_t i = 0; i < Login::kMaxSessions - 1; ++i) login.begin(start + 2s);
  EXPECT_FALSE(login.is_session(first, start + 3s));
  EXPECT_TRUE(login.is_session(second, start + 3s));
  login.end(second);
  EXPECT_FALSE(login.is_session(second, start + 3s));
}

TEST(PageLogin, CookiesAreReadAsTheyAreWritten) {
  EXPECT_EQ(cookie("slotwire_page=abc", "slotwire_page"), "abc");
  EXPECT_EQ(cookie("a=b; slotwire_page=abc; c=d", "slotwire_page"), "abc");
  EXPECT_EQ(cookie("xslotwire_page=abc", "slotwire_page"), "");
  EXPECT_EQ(cookie("slotwire_page", "slotwire_page"), "");
  EXPECT_EQ(cookie("; ;;", "slotwire_page"), "");
  EXPECT_EQ(cookie("", "slotwire_page"), "");
}

TEST(PageSite, ForeignNamesAreNotItsOwn) {
  for (const char* own : {"127.0.0.1", "127.0.0.1:7480", "localhost", "localhost:7480", "[::1]:7480", "[::1]"})
    EXPECT_TRUE(is_own_host(own, {})) << own;
  for (const char* foreign :
       {"", "example.org", "example.org:7480", "localhost.example.org", "[::1", "127.0.0.1.example.org:80"})
    EXPECT_FALSE(is_own_host(foreign, {})) << foreign;
  EXPECT_TRUE(is_own_host("page.example.org:443", {"page.example.org"}));
  EXPECT_TRUE(is_own_host("anything", {"*"}));
}

}  // namespace
}  // namespace slotwire::web
