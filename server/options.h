// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_OPTIONS_H_
#define TENSORFERRY_SERVER_OPTIONS_H_

#include <chrono>
#include <string>

#include "server/security/options.h"
#include "server/stream/options.h"

namespace tensorferry::server {

// Options of a Server. Most programs set `listen` and `security` alone.
struct ServerOptions {
  // host:port, [ipv6]:port or unix:PATH; port 0: the system chooses one.
  std::string listen = "127.0.0.1:7070";
  SecurityOptions security = {};
  StreamOptions stream = {};
  // Serve gRPC server reflection.
  bool reflection = false;
  // Log a line for each call.
  bool log_calls = false;
  // Threads that drive gRPC. 0: one per core, at most 16.
  int network_threads = 0;
  // Calls at the same time on one connection. More wait in the client.
  int max_streams_per_connection = 64;
  // A connection older than this accepts no new calls, so that clients spread over new servers. 0: forever.
  std::chrono::seconds max_connection_age = std::chrono::minutes(30);
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_OPTIONS_H_
