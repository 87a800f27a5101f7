// SPDX-License-Identifier: Apache-2.0
#include "server/log/log.h"

#include <grpc/support/log.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <utility>

#include "server/log/log_line.h"

namespace tensorferry::server {
namespace {

std::atomic<bool> as_json = false;

void Write(spdlog::level::level_enum level, std::string_view message, std::initializer_list<LogField> fields) {
  if (!spdlog::should_log(level)) return;
  const std::string line = as_json ? JsonMembers(message, fields) : TextLine(message, fields);
  spdlog::default_logger_raw()->log(level, spdlog::string_view_t(line.data(), line.size()));
}

void LogOfGrpc(gpr_log_func_args* args) {
  const auto level = args->severity == GPR_LOG_SEVERITY_ERROR  ? spdlog::level::warn
                     : args->severity == GPR_LOG_SEVERITY_INFO ? spdlog::level::info
                                                               : spdlog::level::debug;
  Write(level, args->message, {{"source", "grpc"}});
}

}  // namespace

void StartLog(const LogOptions& options) {
  as_json = options.format == "json";
  auto logger = spdlog::stderr_logger_mt("tensorferryd");
  logger->set_pattern(as_json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})" : "%Y-%m-%dT%H:%M:%S.%eZ %l %v",
                      spdlog::pattern_time_type::utc);
  logger->set_level(spdlog::level::from_str(options.level));
  // Below errors, gRPC's messages are useful only for debugging.
  if (logger->level() == spdlog::level::debug) gpr_set_log_verbosity(GPR_LOG_SEVERITY_INFO);
  spdlog::set_default_logger(std::move(logger));
  gpr_set_log_function(LogOfGrpc);
}

void LogInfo(std::string_view message, std::initializer_list<LogField> fields) {
  Write(spdlog::level::info, message, fields);
}

void LogWarning(std::string_view message, std::initializer_list<LogField> fields) {
  Write(spdlog::level::warn, message, fields);
}

void LogError(std::string_view message, std::initializer_list<LogField> fields) {
  Write(spdlog::level::err, message, fields);
}

}  // namespace tensorferry::server
