// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/metrics.h"

#include <prometheus/text_serializer.h>

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "lib/files/mapped_file.h"
#include "lib/files/sigbus.h"
#include "server/metrics/process_metrics.h"
#include "server/metrics/single_value.h"
#include "tensorferry/version.h"

namespace tensorferry::server {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

// In the order of Fault.
constexpr std::array kFaultNames = {"scan", "file_changed", "read_failed", "certificate", "tokens"};

prometheus::Counter& AddCounter(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add({});
}

prometheus::Histogram& AddScanSeconds(prometheus::Registry& registry) {
  const prometheus::Histogram::BucketBoundaries bounds = {0.001, 0.01, 0.1, 0.5, 1, 5, 10, 60, 300};
  return prometheus::BuildHistogram()
      .Name("tensorferry_scan_duration_seconds")
      .Help("Duration of scans of the root, in seconds.")
      .Register(registry)
      .Add({}, bounds);
}

MetricFamily Gauge(const char* name, const char* help, std::int64_t value) {
  return SingleValue(MetricType::Gauge, name, help, static_cast<double>(value));
}

}  // namespace

Metrics::Metrics()
    : rpcs_(registry_),
      stalled_streams_(AddCounter(registry_, "tensorferry_stalled_streams_total",
                                  "Streams terminated because their clients read nothing.")),
      scans_(AddCounter(registry_, "tensorferry_scans_total", "Scans of the root.")),
      scan_seconds_(AddScanSeconds(registry_)),
      model_load_errors_(AddCounter(registry_, "tensorferry_model_load_errors_total",
                                    "Models found by scans that could not be loaded.")) {
  prometheus::BuildGauge()
      .Name("tensorferry_build_info")
      .Help("Always 1, with the version as label.")
      .Register(registry_)
      .Add({{"version", TENSORFERRY_VERSION}})
      .Set(1);
}

void Metrics::CountScan(std::chrono::duration<double> time) {
  scans_.Increment();
  scan_seconds_.Observe(time.count());
}

std::string Metrics::Text(const Levels& levels) const {
  std::vector<MetricFamily> families = registry_.Collect();
  families.push_back(Gauge("tensorferry_active_streams", "Running streams.", levels.active_streams));
  families.push_back(Gauge("tensorferry_in_flight_bytes", "Bytes of messages that gRPC has not released yet.",
                           levels.in_flight_bytes));
  families.push_back(Gauge("tensorferry_mapped_bytes", "Bytes of mapped files.", MappedFile::MappedBytes()));
  families.push_back(
      {.name = "tensorferry_models",
       .help = "Models under the root that ListModels lists, by state.",
       .type = MetricType::Gauge,
       .metric = {MetricOf(MetricType::Gauge, static_cast<double>(levels.models_ready), {{"state", "ready"}}),
                  MetricOf(MetricType::Gauge, static_cast<double>(levels.models_failed), {{"state", "failed"}})}});
  MetricFamily faults{.name = "tensorferry_faults_total",
                      .help = "Faults of files that the server reads, by kind.",
                      .type = MetricType::Counter,
                      .metric = {}};
  static_assert(kFaultNames.size() == kFaults);
  for (std::size_t i = 0; i < kFaults; ++i) {
    faults.metric.push_back(MetricOf(MetricType::Counter, static_cast<double>(faults_[i]), {{"kind", kFaultNames[i]}}));
  }
  faults.metric.push_back(MetricOf(MetricType::Counter, static_cast<double>(SigbusCount()), {{"kind", "bus_error"}}));
  families.push_back(std::move(faults));
  if (const std::int64_t expiry = certificate_expiry_; expiry != 0) {
    families.push_back(Gauge("tensorferry_tls_certificate_expiry_timestamp_seconds",
                             "End of validity of the served certificate, in seconds since the epoch.", expiry));
  }
  std::vector<MetricFamily> process = ProcessMetrics();
  std::ranges::move(process, std::back_inserter(families));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace tensorferry::server
