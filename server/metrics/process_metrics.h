// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_METRICS_PROCESS_METRICS_H_
#define TENSORFERRY_SERVER_METRICS_PROCESS_METRICS_H_

#include <prometheus/metric_family.h>

#include <vector>

namespace tensorferry::server {

// Returns the resources that the process uses, under the usual names of Prometheus clients (process_*). Leaves out the
// values that the system does not report. Safe for concurrent use by multiple threads.
std::vector<prometheus::MetricFamily> ProcessMetrics();

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_METRICS_PROCESS_METRICS_H_
