// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_METRICS_RPC_METRICS_H_
#define TENSORFERRY_SERVER_METRICS_RPC_METRICS_H_

#include <grpcpp/support/status_code_enum.h>
#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace tensorferry::server {

// The RPCs that are counted.
enum class Rpc : unsigned char {
  kListModels,
  kListTensors,
  kGetMetadata,
  kGetTensor,
  kGetSlice,
  kGetTensors,
  kGetFile,
};

// Counts calls, with the names and labels that gRPC servers of other languages use. A message costs three atomic
// additions. Safe for concurrent use by multiple threads.
class RpcMetrics {
  struct Series;

 public:
  // A call, from its construction to its destruction. Must not outlive the metrics. Not safe for concurrent use.
  class Call {
   public:
    Call(Call&& other) noexcept
        : metrics_(other.metrics_),
          series_(std::exchange(other.series_, nullptr)),
          line_(std::move(other.line_)),
          begin_(other.begin_),
          code_(other.code_) {}
    Call& operator=(Call&&) = delete;
    ~Call();

    // Requests a log line when the call ends. `peer` is the client's address.
    void LogAtEnd(std::string peer);
    // Sets the requested model for the log line.
    void set_model(std::string_view model);
    // Sets the name of the caller's token or certificate for the log line.
    void set_client(std::string_view client);
    // Counts a sent message with so many bytes of tensors or files.
    void CountMessage(std::int64_t data_bytes);
    // Sets the status that the call ends with.
    void set_code(grpc::StatusCode code) { code_ = code; }

   private:
    friend class RpcMetrics;
    Call(RpcMetrics& metrics, Series& series);

    struct Line {
      std::string peer;
      std::string model;
      std::string client;
      std::int64_t bytes = 0;
    };

    RpcMetrics* metrics_;
    Series* series_;
    std::unique_ptr<Line> line_;
    std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
    grpc::StatusCode code_ = grpc::StatusCode::UNKNOWN;
  };

  // `registry` must outlive this.
  explicit RpcMetrics(prometheus::Registry& registry);
  RpcMetrics(const RpcMetrics&) = delete;
  RpcMetrics& operator=(const RpcMetrics&) = delete;

  Call Begin(Rpc rpc) { return {*this, series_[static_cast<std::size_t>(rpc)]}; }

  // Returns the number of running calls.
  std::int64_t calls_in_flight() const { return calls_in_flight_; }
  // Totals since the start.
  struct Summary {
    std::int64_t calls_ended = 0;
    std::string by_code;  // as text: 3 OK, 1 NotFound
    std::int64_t sent_bytes = 0;
  };
  Summary summary() const;

 private:
  static constexpr std::size_t kRpcs = static_cast<std::size_t>(Rpc::kGetFile) + 1;
  static constexpr std::size_t kCodes = static_cast<std::size_t>(grpc::StatusCode::UNAUTHENTICATED) + 1;

  struct Series {
    const char* method = nullptr;
    prometheus::Counter* started = nullptr;
    prometheus::Counter* messages = nullptr;
    prometheus::Histogram* seconds = nullptr;
    std::array<prometheus::Counter*, kCodes> handled = {};
  };

  prometheus::Counter& sent_bytes_;
  std::array<Series, kRpcs> series_;
  std::atomic<std::int64_t> calls_in_flight_ = 0;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_METRICS_RPC_METRICS_H_
