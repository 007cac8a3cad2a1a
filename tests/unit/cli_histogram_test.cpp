// The histogram of latencies against sorted values.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "tools/slotwire/histogram.hpp"

namespace {
using slotwire::cli::Histogram;

TEST(Histogram, IsEmptyAtFirst) {
  const auto histogram = std::make_unique<Histogram>();
  EXPECT_EQ(histogram->count(), 0U);
  EXPECT_EQ(histogram->least(), 0U);
  EXPECT_EQ(histogram->most(), 0U);
  EXPECT_EQ(histogram->at(0.5), 0U);
}

TEST(Histogram, QuantilesAreRightToOnePointSixPercent) {
  std::mt19937_64 random(7);
  const auto histogram = std::make_unique<Histogram>();
  std::vector<std::uint64_t> values;
  std::lognormal_distribution<double> distribution(11, 2);
  for (int i = 0; i < 100000; ++i) {
    const auto value = static_cast<std::uint64_t>(distribution(random));
    values.push_back(value);
    histogram->add(value);
  }
  std::sort(values.begin(), values.end());
  for (const double quantile : {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const auto rank = static_cast<std::size_t>(std::ceil(quantile * static_cast<double>(values.size()))) - 1;
    const auto exact = static_cast<double>(values[rank]);
    EXPECT_GE(static_cast<double>(histogram->at(quantile)), exact) << quantile;
    EXPECT_LE(static_cast<double>(histogram->at(quantile)), exact * (1 + 1.0 / 64) + 1) << quantile;
  }
  EXPECT_EQ(histogram->least(), values.front());
  EXPECT_EQ(histogram->most(), values.back());
  EXPECT_EQ(histogram->count(), values.size());
}

TEST(Histogram, KeepsEveryValueOfTheFirstBuckets) {
  for (std::uint64_t value = 0; value < 128; ++value) {
    const auto histogram = std::make_unique<Histogram>();
    histogram->add(value);
    histogram->add(1'000'000);
    EXPECT_EQ(histogram->at(0.5), value);
  }
}

TEST(Histogram, TakesValuesBeyondItsRange) {
  const auto histogram = std::make_unique<Histogram>();
  histogram->add(UINT64_MAX / 2);
  histogram->add(1);
  EXPECT_EQ(histogram->at(0.5), 1U);
  EXPECT_GE(histogram->at(1.0), std::uint64_t{1} << 39);
  EXPECT_EQ(histogram->most(), UINT64_MAX / 2);
}

TEST(Histogram, MergesAndSubtracts) {
  const auto a = std::make_unique<Histogram>();
  const auto b = std::make_unique<Histogram>();
  a->add(10);
  a->add(20);
  b->add(1000);
  b->merge(*a);
  EXPECT_EQ(b->count(), 3U);
  EXPECT_EQ(b->least(), 10U);
  EXPECT_DOUBLE_EQ(b->mean(), 1030.0 / 3);
  b->subtract(*a);
  EXPECT_EQ(b->count(), 1U);
  EXPECT_EQ(b->at(0.5), 1000U);
}

}  // namespace
