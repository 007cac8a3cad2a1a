// A look at a node as Prometheus reads it: text format 0.0.4, and OpenMetrics 1.0.0
// (https://prometheus.io/docs/instrumenting/exposition_formats/, https://openmetrics.io).
#pragma once
#include <string>

#include "web/page/snapshot.hpp"

namespace slotwire::web {

/// Upper bounds of the buckets of control::Figures but the last, microseconds (slotwire.h, sw_figures).
inline constexpr std::array<std::uint64_t, control::kFigureBuckets - 1> kFigureBoundsUs{
    50,     100,     200,     500,     1'000,     2'000,     5'000,     10'000,    20'000,
    50'000, 100'000, 200'000, 500'000, 1'000'000, 2'000'000, 5'000'000, 10'000'000};

enum class MetricsFormat : std::uint8_t { prometheus, open_metrics };

/// The format that an Accept header prefers; Prometheus text unless OpenMetrics is named.
MetricsFormat metrics_format(std::string_view accept);
/// The Content-Type of a format.
std::string_view metrics_type(MetricsFormat format);
/// All metrics, names beginning with slotwire_, base units. docs/operate.md lists them.
std::string metrics_text(const Snapshot& snapshot, MetricsFormat format);

}  // namespace slotwire::web
