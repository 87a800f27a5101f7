// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <memory>
#include <optional>
#include <string>

#include "server/log.h"
#include "server/options.h"
#include "server/server.h"
#include "tensorferry/quote.h"
#include "tensorferry/storage/bus_errors.h"
#include "tensorferry/storage/catalog.h"

namespace tensorferry::server {
namespace {

// The signals that end the server. They are blocked in all threads and waited for in this one.
sigset_t BlockEndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

// Every connection and every model file takes a descriptor, and a gRPC server that finds none for a new connection
// never accepts another (CVE-2023-4785): as many as are permitted.
void RaiseDescriptorLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int Fail(const absl::Status& status) {
  fmt::print(stderr, "tensorferryd: {}\n", std::string(status.message()));
  return 1;
}

void LogCatalog(const std::string& root, const Catalog& catalog) {
  std::int64_t ready = 0;
  std::int64_t tensors = 0;
  for (const auto& [name, entry] : catalog.entries()) {
    if (!entry.listed) continue;
    if (!entry.model.ok()) {
      spdlog::error("model {} cannot be served: {}", Quote(name), std::string(entry.model.status().message()));
      continue;
    }
    ++ready;
    tensors += static_cast<std::int64_t>((*entry.model)->tensor_count());
  }
  if (ready == 0) spdlog::warn("there is nothing to serve: no good safetensors file under root {}", Quote(root));
  spdlog::info("root {}: {} models ready, {} tensors", Quote(root), ready, tensors);
}

// Lets running streams finish, until the timeout or another signal.
void Drain(const Server& server, std::chrono::milliseconds timeout, const sigset_t& signals) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  constexpr timespec kPause = {.tv_sec = 0, .tv_nsec = 20'000'000};
  while (server.active_streams() > 0 && std::chrono::steady_clock::now() < deadline) {
    if (sigtimedwait(&signals, nullptr, &kPause) > 0) break;
  }
  if (server.active_streams() > 0) spdlog::warn("{} streams are cut off", server.active_streams());
}

int Main(int argc, char** argv) {
  int exit_code = 0;
  const std::optional<Options> options = ParseOptions(argc, argv, exit_code);
  if (!options) return exit_code;
  const sigset_t signals = BlockEndSignals();
  StartLog();
  SurviveBusErrors();
  RaiseDescriptorLimit();

  const absl::StatusOr<std::shared_ptr<const Catalog>> catalog = Catalog::Load(options->root);
  if (!catalog.ok()) return Fail(catalog.status());
  LogCatalog(options->root, **catalog);
  const absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(*options, *catalog);
  if (!server.ok()) return Fail(server.status());
  // On stdout, so that whoever asked for port 0 can read it.
  fmt::print("tensorferryd listening on {}\n", (*server)->address());
  std::fflush(stdout);

  int signal = 0;
  sigwait(&signals, &signal);
  spdlog::info("{}: finishing {} streams", signal == SIGINT ? "SIGINT" : "SIGTERM", (*server)->active_streams());
  (*server)->StopBeingHealthy();
  Drain(**server, options->drain_timeout, signals);
  return 0;
}

}  // namespace
}  // namespace tensorferry::server

int main(int argc, char** argv) { return tensorferry::server::Main(argc, argv); }
