// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_OPTIONS_H_
#define TENSORFERRY_SERVER_OPTIONS_H_

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

namespace tensorferry::server {

// What a server is told at its start.
struct Options {
  std::string root;
  // host:port, [ipv6]:port or unix:PATH; port 0 lets the system choose.
  std::string listen = "127.0.0.1:7070";
  bool insecure = false;
  bool reflection = false;
  std::size_t chunk_bytes = std::size_t{1} << 20;
  int workers = 4;
  // How often the root is scanned again; 0: only after hints of the system and SIGHUP.
  std::chrono::seconds rescan_interval = std::chrono::seconds(10);
  std::chrono::milliseconds drain_timeout = std::chrono::seconds(30);
};

// Reads the command line and the environment (TENSORFERRY_<FLAG>). Returns nothing if the program shall end with
// `exit_code`: what there is to say (help, version, what is wrong) has been printed.
std::optional<Options> ParseOptions(int argc, char** argv, int& exit_code);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_OPTIONS_H_
