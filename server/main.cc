// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "server/catalog_log.h"
#include "server/catalog_watcher.h"
#include "server/log.h"
#include "server/options.h"
#include "server/server.h"
#include "tensorferry/storage/bus_errors.h"
#include "tensorferry/storage/catalog.h"

namespace tensorferry::server {
namespace {

// The signals that end the server.
sigset_t EndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

// Those, and the one that asks for a look at the root. They are blocked in all threads and waited for in this one.
sigset_t BlockSignals() {
  sigset_t signals = EndSignals();
  sigaddset(&signals, SIGHUP);
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

// Each of our threads polls its own connections then (EventLoops); with gRPC's own choice, one thread polls for all and
// hands that on at every message.
void ChoosePolling() { setenv("GRPC_POLL_STRATEGY", "poll", 0); }

int Fail(const absl::Status& status) {
  fmt::print(stderr, "tensorferryd: {}\n", std::string(status.message()));
  return 1;
}

// Waits for a signal that ends the server and returns it.
int ServeUntilSignal(const sigset_t& signals, CatalogWatcher& watcher) {
  while (true) {
    int signal = 0;
    sigwait(&signals, &signal);
    if (signal != SIGHUP) return signal;
    spdlog::info("SIGHUP: scanning the root");
    watcher.Request();
  }
}

// Lets running streams finish, until the timeout or another signal that ends the server.
void Drain(const Server& server, std::chrono::milliseconds timeout) {
  const sigset_t signals = EndSignals();
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
  const sigset_t signals = BlockSignals();
  StartLog();
  SurviveBusErrors();
  RaiseDescriptorLimit();
  ChoosePolling();

  absl::StatusOr<std::shared_ptr<const Catalog>> catalog = Catalog::Load(options->root);
  if (!catalog.ok()) return Fail(catalog.status());
  LogCatalog(options->root, **catalog);
  // Moved: the first catalog must not outlive its replacement.
  const absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(*options, *std::move(catalog));
  if (!server.ok()) return Fail(server.status());
  // On stdout, so that whoever asked for port 0 can read it.
  fmt::print("tensorferryd listening on {}\n", (*server)->address());
  std::fflush(stdout);

  CatalogWatcher watcher(options->root, options->rescan_interval, (*server)->catalog());
  const int signal = ServeUntilSignal(signals, watcher);
  spdlog::info("{}: finishing {} streams", signal == SIGINT ? "SIGINT" : "SIGTERM", (*server)->active_streams());
  (*server)->StopBeingHealthy();
  Drain(**server, options->drain_timeout);
  return 0;
}

}  // namespace
}  // namespace tensorferry::server

int main(int argc, char** argv) { return tensorferry::server::Main(argc, argv); }
