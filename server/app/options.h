// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_APP_OPTIONS_H_
#define TENSORFERRY_SERVER_APP_OPTIONS_H_

#include <chrono>
#include <optional>
#include <string>

#include "server/log/log.h"
#include "server/options.h"
#include "server/reload/watcher.h"

namespace tensorferry::server {

// Options of tensorferryd: those of each folder, and the process's own.
struct Options {
  std::string root;
  ServerOptions server = {};
  WatchOptions watch = {};
  LogOptions log = {};
  // host:port or [ipv6]:port for /metrics, /livez and /readyz; port 0: the system chooses one; "off": none.
  std::string admin_listen = "127.0.0.1:7071";
  // Time from SIGTERM until connections are refused. The server reports "not ready" meanwhile.
  std::chrono::milliseconds lame_duck = std::chrono::seconds(5);
  // Time for streams to finish after that.
  std::chrono::milliseconds drain_timeout = std::chrono::seconds(30);
  // Check the configuration instead of serving.
  bool check_config = false;
};

// Reads the command line, the environment (TENSORFERRYD_<FLAG>) and the config file, in this order of precedence.
// Returns nothing if the program is to end with `exit_code`: help, version or the error has been printed.
std::optional<Options> ParseOptions(int argc, char** argv, int& exit_code);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_APP_OPTIONS_H_
