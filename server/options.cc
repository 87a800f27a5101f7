// SPDX-License-Identifier: Apache-2.0
#include "server/options.h"

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

namespace tensorferry::server {

std::optional<Options> ParseOptions(int argc, char** argv, int& exit_code) {
  Options options;
  CLI::App app("tensorferryd serves the tensors of a directory of safetensors files over gRPC.", "tensorferryd");
  app.set_version_flag("--version", "tensorferryd " TENSORFERRY_VERSION);
  app.option_defaults()->always_capture_default();
  app.add_option("--root", options.root, "Directory to serve; nothing outside it is ever opened")
      ->required()
      ->envname("TENSORFERRY_ROOT");
  app.add_option("--listen", options.listen, "host:port, [ipv6]:port or unix:PATH; port 0 lets the system choose one")
      ->envname("TENSORFERRY_LISTEN");
  app.add_flag("--insecure", options.insecure,
               "Serve in plaintext on an address that is not loopback: everybody who reaches it can read the models")
      ->envname("TENSORFERRY_INSECURE");
  app.add_flag("--reflection", options.reflection, "Serve gRPC server reflection")->envname("TENSORFERRY_REFLECTION");
  app.add_option("--chunk-bytes", options.chunk_bytes, "Data in one message of a stream, in bytes")
      ->check(CLI::Range(std::size_t{4} << 10, std::size_t{3} << 20))
      ->envname("TENSORFERRY_CHUNK_BYTES");
  app.add_option("--workers", options.workers, "Threads that read from disk and prepare messages")
      ->check(CLI::Range(1, 256))
      ->envname("TENSORFERRY_WORKERS");
  std::int64_t rescan_seconds = options.rescan_interval.count();
  app.add_option(
         "--rescan-interval", rescan_seconds,
         "Seconds from one look at the root for new, replaced and deleted models to the next; 0 looks only when "
         "the system tells of a change (network filesystems do not) and on SIGHUP")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{86400}))
      ->envname("TENSORFERRY_RESCAN_INTERVAL");
  std::int64_t drain_seconds = 30;
  app.add_option("--drain-timeout", drain_seconds,
                 "Seconds that streams have to finish after SIGTERM; a second signal ends at once")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{86400}))
      ->envname("TENSORFERRY_DRAIN_TIMEOUT");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // CLI11 prints help and version to stdout, errors to stderr.
    exit_code = app.exit(error) == 0 ? 0 : 2;
    return std::nullopt;
  }
  options.rescan_interval = std::chrono::seconds(rescan_seconds);
  options.drain_timeout = std::chrono::seconds(drain_seconds);
  return options;
}

}  // namespace tensorferry::server
