// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/rpc_metrics.h"

#include <fmt/format.h>

namespace tensorferry::server {
namespace {

struct Method {
  const char* type;
  const char* service;
  const char* name;
};

// In the order of Rpc. The names of methods that we do not have are the clients' to choose: they are no labels.
constexpr const char* kService = "tensorferry.v1.TensorService";
constexpr std::array kMethods = {
    Method{"unary", kService, "ListModels"},       Method{"unary", kService, "ListTensors"},
    Method{"unary", kService, "GetMetadata"},      Method{"server_stream", kService, "GetTensor"},
    Method{"server_stream", kService, "GetSlice"}, Method{"server_stream", kService, "GetTensors"},
    Method{"server_stream", kService, "GetFile"},  Method{"unknown", "unknown", "unknown"},
};

// In the order of the numbers, spelled as other languages' servers do.
constexpr std::array kCodeNames = {
    "OK",       "Canceled",        "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",   "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",      "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated",
};

}  // namespace

RpcMetrics::RpcMetrics(prometheus::Registry& registry)
    : sent_bytes_(prometheus::BuildCounter()
                      .Name("tensorferry_sent_bytes_total")
                      .Help("Bytes of tensors and files that were sent, without what gRPC adds.")
                      .Register(registry)
                      .Add({})) {
  auto& started =
      prometheus::BuildCounter().Name("grpc_server_started_total").Help("Calls that were begun.").Register(registry);
  auto& handled = prometheus::BuildCounter()
                      .Name("grpc_server_handled_total")
                      .Help("Calls that ended, by the status that they ended with.")
                      .Register(registry);
  auto& messages =
      prometheus::BuildCounter().Name("grpc_server_msg_sent_total").Help("Messages that were sent.").Register(registry);
  auto& seconds = prometheus::BuildHistogram()
                      .Name("grpc_server_handling_seconds")
                      .Help("Seconds from the begin of a call to its end.")
                      .Register(registry);
  const prometheus::Histogram::BucketBoundaries bounds = {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1,
                                                          5,     10,    30,   60,   120, 300, 900};
  static_assert(kMethods.size() == kRpcs && kCodeNames.size() == kCodes);
  for (std::size_t i = 0; i < kRpcs; ++i) {
    const Method& method = kMethods[i];
    prometheus::Labels labels = {
        {"grpc_type", method.type}, {"grpc_service", method.service}, {"grpc_method", method.name}};
    Series& series = series_[i];
    series.started = &started.Add(labels);
    series.messages = &messages.Add(labels);
    series.seconds = &seconds.Add(labels, bounds);
    for (std::size_t code = 0; code < kCodes; ++code) {
      labels["grpc_code"] = kCodeNames[code];
      series.handled[code] = &handled.Add(labels);
    }
  }
}

std::string RpcMetrics::Summary() const {
  std::string codes;
  for (std::size_t code = 0; code < kCodes; ++code) {
    double calls = 0;
    for (const Series& series : series_) calls += series.handled[code]->Value();
    if (calls > 0) codes += fmt::format("{}{:.0f} {}", codes.empty() ? "" : ", ", calls, kCodeNames[code]);
  }
  return fmt::format("calls ended: {}; {:.0f} bytes sent", codes.empty() ? "none" : codes, sent_bytes_.Value());
}

RpcMetrics::Call::Call(RpcMetrics& metrics, Series& series) : metrics_(&metrics), series_(&series) {
  ++metrics.calls_in_flight_;
  series.started->Increment();
}

RpcMetrics::Call::~Call() {
  if (series_ == nullptr) return;
  series_->seconds->Observe(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count());
  const auto code = static_cast<std::size_t>(code_);
  series_->handled[code < kCodes ? code : std::size_t{grpc::StatusCode::UNKNOWN}]->Increment();
  --metrics_->calls_in_flight_;
}

void RpcMetrics::Call::CountMessage(std::int64_t data_bytes) {
  series_->messages->Increment();
  if (data_bytes > 0) metrics_->sent_bytes_.Increment(static_cast<double>(data_bytes));
}

}  // namespace tensorferry::server
