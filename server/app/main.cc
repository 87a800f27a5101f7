// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <future>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "lib/catalog/catalog.h"
#include "lib/files/sigbus.h"
#include "server/admin/admin_server.h"
#include "server/app/check_config.h"
#include "server/app/options.h"
#include "server/app/process_state.h"
#include "server/log/log.h"
#include "server/metrics/metrics.h"
#include "server/net/listening_sockets.h"
#include "server/reload/catalog_log.h"
#include "server/reload/watcher.h"
#include "server/security/security.h"
#include "server/server.h"
#include "tensorferry/version.h"

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

// Blocks these and SIGHUP, which requests a scan, in all threads. The main thread waits for them.
sigset_t BlockSignals() {
  sigset_t signals = EndSignals();
  sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

// Raises the limit of descriptors to what is permitted: every connection and every model file takes one.
void RaiseDescriptorLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Makes each of our threads poll its own connections, see EventLoops. By default, gRPC uses epoll: one thread polls for
// all and wakes another thread at every message.
void ChoosePolling() { setenv("GRPC_POLL_STRATEGY", "poll", 0); }

// Switches off the deadlock detection that Debian's Abseil does at every lock of gRPC.
void DisableDeadlockDetection() { absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore); }

// Reports the error that ended the start, as text or as an object of the log. Returns the exit code.
int Fail(const absl::Status& status, const Options& options) {
  if (options.log.format == "json") {
    LogError("cannot start", {{"error", status}});
  } else {
    fmt::print(stderr, "tensorferryd: {}\n", std::string(status.message()));
  }
  return absl::IsInvalidArgument(status) ? 2 : 1;
}

// Returns true if a signal that ends the server arrives within this time.
bool EndSignalWithin(std::chrono::milliseconds time) {
  const sigset_t signals = EndSignals();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
  const timespec timeout = {.tv_sec = seconds.count(), .tv_nsec = std::chrono::nanoseconds(time - seconds).count()};
  int signal = 0;
  do {
    signal = sigtimedwait(&signals, nullptr, &timeout);
  } while (signal < 0 && errno == EINTR);
  return signal > 0;
}

// Scans the root, which may take minutes with --verify full.
// Errors: CANCELLED: a signal that ends the server arrived; those of Catalog::Load.
absl::StatusOr<std::shared_ptr<const Catalog>> LoadCatalog(const Options& options, Metrics& metrics) {
  const auto started = std::chrono::steady_clock::now();
  std::stop_source stop;
  auto loading = std::async(std::launch::async, [&options, token = stop.get_token()] {
    return Catalog::Load(options.root, {.verify = options.watch.verify, .stop = token});
  });
  while (loading.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
    if (EndSignalWithin(std::chrono::milliseconds(20))) stop.request_stop();
  }
  const std::chrono::steady_clock::duration time = std::chrono::steady_clock::now() - started;
  metrics.CountScan(time);
  absl::StatusOr<std::shared_ptr<const Catalog>> catalog = loading.get();
  // The scan may have ended before the request to stop. The signal does not arrive again.
  if (stop.stop_requested()) return absl::CancelledError("ended by a signal");
  if (catalog.ok()) metrics.CountModelLoadErrors(LogCatalog(options.root, **catalog, time));
  return catalog;
}

absl::StatusOr<std::unique_ptr<AdminServer>> StartAdmin(const std::string& address, const ProcessState& state) {
  if (address == "off") return nullptr;
  absl::StatusOr<std::unique_ptr<AdminServer>> admin =
      AdminServer::Start(address, {.metrics = [&state] { return state.MetricsText(); },
                                   .live = [&state] { return state.Live(); },
                                   .ready = [&state] { return state.Ready(); }});
  // Logged now, and not at the end of the scan, for those who asked for port 0.
  if (admin.ok()) LogInfo("admin port is listening", {{"address", (*admin)->address()}});
  return admin;
}

// Logs the addresses, and prints them to stdout for programs that asked for port 0.
void PrintAddresses(const Server& server, const AdminServer* admin) {
  LogInfo("listening", {{"address", server.address()}, {"version", TENSORFERRY_VERSION}});
  fmt::print("tensorferryd listening on {}\n", server.address());
  if (admin != nullptr) fmt::print("tensorferryd admin listening on {}\n", admin->address());
  std::fflush(stdout);
}

// Waits for a signal that ends the server and returns it.
int ServeUntilSignal(const sigset_t& signals, CatalogWatcher& watcher) {
  while (true) {
    int signal = 0;
    sigwait(&signals, &signal);
    if (signal != SIGHUP) return signal;
    LogInfo("scanning the root", {{"signal", "SIGHUP"}});
    watcher.Request();
  }
}

// Serves for the lame duck's time while reporting "not ready", then lets running calls finish. Another signal that ends
// the server shortens both.
void Drain(Server& server, ProcessState& state, const Options& options, int signal) {
  state.BeginDraining();
  server.StopBeingReady();
  const std::string name = signal == SIGINT ? "SIGINT" : "SIGTERM";
  LogInfo("reporting not ready",
          {{"signal", name}, {"lame_duck_seconds", options.lame_duck}, {"streams", server.active_streams()}});
  bool hurry = EndSignalWithin(options.lame_duck);
  LogInfo("finishing streams",
          {{"signal", name}, {"drain_timeout_seconds", options.drain_timeout}, {"streams", server.active_streams()}});
  const std::int64_t cut_off = server.Shutdown(std::chrono::steady_clock::now() + options.drain_timeout, [&hurry] {
    hurry = hurry || EndSignalWithin(std::chrono::milliseconds(0));
    return hurry;
  });
  if (cut_off > 0) LogWarning("calls cut off", {{"calls", cut_off}});
}

int Main(int argc, char** argv) {
  int exit_code = 0;
  const std::optional<Options> options = ParseOptions(argc, argv, exit_code);
  if (!options) return exit_code;
  StartLog(options->log);
  // Malformed requests are errors for their senders. Logging them would let anybody fill the log.
  google::protobuf::SetLogHandler(nullptr);
  InstallSigbusHandler();
  RaiseDescriptorLimit();
  // Before signals are blocked: they end a check at once.
  if (options->check_config) return CheckConfig(*options);
  const sigset_t signals = BlockSignals();
  ChoosePolling();
  DisableDeadlockDetection();

  const auto metrics = std::make_shared<Metrics>();
  std::unique_ptr<Server> server;
  ProcessState state(*metrics);
  const absl::StatusOr<std::unique_ptr<AdminServer>> admin = StartAdmin(options->admin_listen, state);
  if (!admin.ok()) return Fail(admin.status(), *options);
  {
    // Before the scan, which may take minutes.
    absl::StatusOr<Security> security = OpenSecurity(options->server.security, options->server.listen, *metrics);
    if (!security.ok()) return Fail(security.status(), *options);
    if (const absl::Status status = ListeningSockets::Check(options->server.listen); !status.ok()) {
      return Fail(status, *options);
    }
    // Moved below: the first catalog must not outlive its replacement.
    absl::StatusOr<std::shared_ptr<const Catalog>> catalog = LoadCatalog(*options, *metrics);
    if (absl::IsCancelled(catalog.status())) {
      LogInfo("ended by a signal during the start");
      return 0;
    }
    if (!catalog.ok()) return Fail(catalog.status(), *options);
    absl::StatusOr<std::unique_ptr<Server>> started =
        Server::Start(options->server, *std::move(security), *std::move(catalog), metrics);
    if (!started.ok()) return Fail(started.status(), *options);
    server = *std::move(started);
  }
  CatalogWatcher watcher(options->root, options->watch, server->catalog(), *metrics);
  state.BeginServing(*server);
  PrintAddresses(*server, admin->get());

  Drain(*server, state, *options, ServeUntilSignal(signals, watcher));
  const RpcMetrics::Summary summary = metrics->rpcs().summary();
  LogInfo("ended", {{"calls", summary.calls_ended}, {"by_code", summary.by_code}, {"sent_bytes", summary.sent_bytes}});
  return 0;
}

}  // namespace
}  // namespace tensorferry::server

int main(int argc, char** argv) { return tensorferry::server::Main(argc, argv); }
