// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_METRICS_SINGLE_VALUE_H_
#define TENSORFERRY_SERVER_METRICS_SINGLE_VALUE_H_

#include <prometheus/metric_family.h>

#include <string>
#include <utility>
#include <vector>

namespace tensorferry::server {

using MetricLabels = std::vector<prometheus::ClientMetric::Label>;

inline prometheus::ClientMetric MetricOf(prometheus::MetricType type, double value, MetricLabels labels = {}) {
  prometheus::ClientMetric metric;
  metric.label = std::move(labels);
  (type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  return metric;
}

// Returns a counter or a gauge with one value.
inline prometheus::MetricFamily SingleValue(prometheus::MetricType type, std::string name, std::string help,
                                            double value) {
  return {.name = std::move(name), .help = std::move(help), .type = type, .metric = {MetricOf(type, value)}};
}

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_METRICS_SINGLE_VALUE_H_
