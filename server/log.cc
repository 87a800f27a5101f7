// SPDX-License-Identifier: Apache-2.0
#include "server/log.h"

#include <fmt/chrono.h>
#include <grpc/support/log.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#include <spdlog/formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <iterator>
#include <memory>
#include <string_view>
#include <utility>

#include "tensorferry/quote.h"

namespace tensorferry::server {
namespace {

std::string_view View(spdlog::string_view_t text) { return {text.data(), text.size()}; }

void LogOfGrpc(gpr_log_func_args* args) {
  const auto level = args->severity == GPR_LOG_SEVERITY_ERROR  ? spdlog::level::warn
                     : args->severity == GPR_LOG_SEVERITY_INFO ? spdlog::level::info
                                                               : spdlog::level::debug;
  spdlog::log(level, "grpc: {}", Escape(args->message));
}

// {"time":"2006-01-02T15:04:05.123Z","level":"info","message":"..."}
class JsonFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& line) override {
    using std::chrono::duration_cast;
    using std::chrono::milliseconds;
    const auto since_epoch = duration_cast<milliseconds>(message.time.time_since_epoch());
    const std::string time =
        fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                    fmt::gmtime(duration_cast<std::chrono::seconds>(since_epoch).count()), since_epoch.count() % 1000);
    const std::string_view level = View(spdlog::level::to_string_view(message.level));
    const std::string_view text = View(message.payload);
    rapidjson::StringBuffer buffer;
    rapidjson::Writer<rapidjson::StringBuffer> json(buffer);
    const auto member = [&](const char* name, std::string_view value) {
      json.Key(name);
      json.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
    };
    json.StartObject();
    member("time", time);
    member("level", level);
    member("message", text);
    json.EndObject();
    line.append(buffer.GetString(), buffer.GetString() + buffer.GetSize());
    line.push_back('\n');
  }
  std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<JsonFormatter>(); }
};

}  // namespace

void StartLog(const std::string& format, const std::string& level) {
  auto logger = spdlog::stderr_logger_mt("tensorferryd");
  if (format == "json") {
    logger->set_formatter(std::make_unique<JsonFormatter>());
  } else {
    logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
  }
  logger->set_level(spdlog::level::from_str(level));
  // gRPC says little above its errors that is of use before one looks for a fault.
  if (logger->level() == spdlog::level::debug) gpr_set_log_verbosity(GPR_LOG_SEVERITY_INFO);
  spdlog::set_default_logger(std::move(logger));
  gpr_set_log_function(LogOfGrpc);
}

}  // namespace tensorferry::server
