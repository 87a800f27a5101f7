// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_OPTIONS_H_
#define TENSORFERRY_SERVER_OPTIONS_H_

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "server/security/credentials.h"
#include "server/stream_registry.h"
#include "tensorferry/storage/load_options.h"

namespace tensorferry::server {

// How files are read: kPreadCached is kPread of what is in the page cache, an error otherwise.
enum class IoMode : char { kMmap, kPread, kPreadCached };

// What a server is told at its start.
struct Options {
  std::string root;
  // host:port, [ipv6]:port or unix:PATH; port 0 lets the system choose.
  std::string listen = "127.0.0.1:7070";
  // host:port or [ipv6]:port for /metrics, /livez and /readyz; port 0 lets the system choose, "off" means none.
  std::string admin_listen = "127.0.0.1:7071";
  // Plaintext on an address that is not loopback, and tokens in plaintext, are meant.
  bool insecure = false;
  TlsFiles tls;
  // Names in client certificates; empty: all that the client CA vouches for.
  std::vector<std::string> allowed_clients;
  // Empty: no tokens.
  std::string token_file;
  bool reflection = false;
  Verify verify = Verify::kHeaders;
  IoMode io = IoMode::kMmap;
  std::size_t chunk_bytes = std::size_t{1} << 20;
  int workers = 16;
  // That drive gRPC; 0: as many as there are cores, at most 16.
  int network_threads = 0;
  int max_streams_per_connection = 64;
  // After this a connection takes no new calls, so that clients spread over new servers; 0: never.
  std::chrono::seconds max_connection_age = std::chrono::minutes(30);
  StreamLimits stream_limits;
  // How often the root is scanned again; 0: only after hints of the system and SIGHUP.
  std::chrono::seconds scan_interval = std::chrono::seconds(3);
  // How long it goes on as before, but not ready, once it was told to end.
  std::chrono::milliseconds lame_duck = std::chrono::seconds(5);
  // How long streams then have to finish.
  std::chrono::milliseconds drain_timeout = std::chrono::seconds(30);
  std::string log_format = "text";
  std::string log_level = "info";
  // A line for each call.
  bool log_calls = false;
  // Say what is wrong with all this, and do not serve.
  bool check_config = false;
};

// Reads the command line, the environment (TENSORFERRYD_<FLAG>) and the config file, in this order of precedence.
// Returns nothing if the program shall end with `exit_code`: what there is to say (help, version, what is wrong) has
// been printed.
std::optional<Options> ParseOptions(int argc, char** argv, int& exit_code);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_OPTIONS_H_
