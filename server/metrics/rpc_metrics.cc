// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/rpc_metrics.h"

#include <fmt/format.h>

#include "server/log/log.h"

namespace tensorferry::server {
namespace {

struct Method {
  const char* type;
  const char* service;
  const char* name;
};

// In the order of Rpc.
constexpr const char* kService = "tensorferry.v1.TensorService";
constexpr std::array kMethods = {
    Method{"unary", kService, "ListModels"},       Method{"unary", kService, "ListTensors"},
    Method{"unary", kService, "GetMetadata"},      Method{"server_stream", kService, "GetTensor"},
    Method{"server_stream", kService, "GetSlice"}, Method{"server_stream", kService, "GetTensors"},
    Method{"server_stream", kService, "GetFile"},
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
                      .Help("Bytes of tensors and files that were sent, without gRPC's overhead.")
                      .Register(registry)
                      .Add({})) {
  auto& started =
      prometheus::BuildCounter().Name("grpc_server_started_total").Help("Calls that began.").Register(registry);
  auto& handled = prometheus::BuildCounter()
                      .Name("grpc_server_handled_total")
                      .Help("Calls that ended, by status.")
                      .Register(registry);
  auto& messages =
      prometheus::BuildCounter().Name("grpc_server_msg_sent_total").Help("Sent messages.").Register(registry);
  auto& seconds = prometheus::BuildHistogram()
                      .Name("grpc_server_handling_seconds")
                      .Help("Duration of calls, in seconds.")
                      .Register(registry);
  const prometheus::Histogram::BucketBoundaries bounds = {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1,
                                                          5,     10,    30,   60,   120, 300, 900};
  static_assert(kMethods.size() == kRpcs && kCodeNames.size() == kCodes);
  for (std::size_t i = 0; i < kRpcs; ++i) {
    const Method& method = kMethods[i];
    prometheus::Labels labels = {
        {"grpc_type", method.type}, {"grpc_service", method.service}, {"grpc_method", method.name}};
    Series& series = series_[i];
    series.method = method.name;
    series.started = &started.Add(labels);
    series.messages = &messages.Add(labels);
    series.seconds = &seconds.Add(labels, bounds);
    for (std::size_t code = 0; code < kCodes; ++code) {
      labels["grpc_code"] = kCodeNames[code];
      series.handled[code] = &handled.Add(labels);
    }
  }
}

RpcMetrics::Summary RpcMetrics::summary() const {
  Summary summary;
  summary.sent_bytes = static_cast<std::int64_t>(sent_bytes_.Value());
  for (std::size_t code = 0; code < kCodes; ++code) {
    double calls = 0;
    for (const Series& series : series_) calls += series.handled[code]->Value();
    if (calls == 0) continue;
    summary.calls_ended += static_cast<std::int64_t>(calls);
    summary.by_code += fmt::format("{}{:.0f} {}", summary.by_code.empty() ? "" : ", ", calls, kCodeNames[code]);
  }
  return summary;
}

RpcMetrics::Call::Call(RpcMetrics& metrics, Series& series) : metrics_(&metrics), series_(&series) {
  ++metrics.calls_in_flight_;
  series.started->Increment();
}

RpcMetrics::Call::~Call() {
  if (series_ == nullptr) return;
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin_;
  series_->seconds->Observe(time.count());
  const auto number = static_cast<std::size_t>(code_);
  const std::size_t code = number < kCodes ? number : std::size_t{grpc::StatusCode::UNKNOWN};
  series_->handled[code]->Increment();
  if (line_ != nullptr) {
    LogInfo("call", {{"method", series_->method},
                     {"model", line_->model},
                     {"code", kCodeNames[code]},
                     {"bytes", line_->bytes},
                     {"seconds", time},
                     {"peer", line_->peer},
                     {"client", line_->client}});
  }
  --metrics_->calls_in_flight_;
}

void RpcMetrics::Call::LogAtEnd(std::string peer) {
  line_ = std::make_unique<Line>(Line{.peer = std::move(peer), .model = {}, .client = {}, .bytes = 0});
}

void RpcMetrics::Call::set_model(std::string_view model) {
  // The client chooses the name, which may be as long as a request.
  constexpr std::size_t kMaxModelBytes = 1024;
  if (line_ != nullptr) line_->model = model.substr(0, kMaxModelBytes);
}

void RpcMetrics::Call::set_client(std::string_view client) {
  if (line_ != nullptr) line_->client = client;
}

void RpcMetrics::Call::CountMessage(std::int64_t data_bytes) {
  series_->messages->Increment();
  if (line_ != nullptr) line_->bytes += data_bytes;
  if (data_bytes > 0) metrics_->sent_bytes_.Increment(static_cast<double>(data_bytes));
}

}  // namespace tensorferry::server
