// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_METRICS_PROCESS_METRICS_H_
#define TENSORFERRY_SERVER_METRICS_PROCESS_METRICS_H_

#include <prometheus/metric_family.h>

#include <vector>

namespace tensorferry::server {

// What the process takes now, under the names that Prometheus' clients give it (process_*). What the system does not
// tell is left out. Safe for concurrent use by multiple threads.
std::vector<prometheus::MetricFamily> ProcessMetrics();

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_METRICS_PROCESS_METRICS_H_
