// SPDX-License-Identifier: Apache-2.0
#include "server/app/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "lib/text/quote.h"
#include "server/app/config_file.h"
#include "tensorferry/version.h"

namespace tensorferry::server {
namespace {

// A default, as its flag takes it.
std::int64_t InSeconds(std::chrono::milliseconds time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time).count();
}

// The size in the largest unit that divides it, as size flags accept it.
std::string SizeText(std::int64_t bytes) {
  constexpr std::array kUnits = {"", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  for (; bytes != 0 && bytes % 1024 == 0 && unit + 1 < kUnits.size(); bytes /= 1024) ++unit;
  return fmt::format("{}{}", bytes, kUnits[unit]);
}

// Accepts sizes in [min, max], plain or with a suffix, and turns them into bytes.
CLI::Validator SizeIn(std::int64_t min, std::int64_t max) {
  const std::string range = fmt::format("{} to {}", SizeText(min), SizeText(max));
  const auto convert = [=](std::string& text) -> std::string {
    std::string bytes = text;
    bool valid = false;
    try {
      // CLI11 accepts a suffix alone, "MiB" for one MiB, and its messages list all the suffixes that it knows.
      valid = !text.empty() && text.front() >= '0' && text.front() <= '9' &&
              CLI::AsSizeValue(/*kb_is_1000=*/false)(bytes).empty() && CLI::Range(min, max)(bytes).empty();
    } catch (const CLI::ValidationError&) {
    }
    if (!valid) {
      return fmt::format("\"{}\" is not a size of {}, in bytes or with the suffix KiB, MiB, GiB or TiB", text, range);
    }
    text = bytes;
    return "";
  };
  return CLI::Validator(convert, range);
}

// An empty value, of a shell variable that is not set perhaps, must not mean "without TLS" or "without tokens".
std::string FaultOfEmpty(const std::string& text) { return text.empty() ? "it must not be empty" : ""; }

void AddSecurityOptions(CLI::App& app, Options& options) {
  const CLI::Validator not_empty(FaultOfEmpty, "");
  app.add_flag("--insecure", options.server.security.insecure,
               "Serve in plaintext on an address that is not loopback: everybody who reaches it can read the models; "
               "needed, too, for tokens in plaintext on any address")
      ->envname("TENSORFERRYD_INSECURE");
  CLI::Option* const certificate =
      app.add_option("--tls-cert", options.server.security.tls.certificate,
                     "Serve with TLS: PEM file with the server's certificate chain, its own certificate first; read "
                     "again within a second when it changes, as are the other files; default: no TLS")
          ->type_name("FILE")
          ->check(not_empty)
          ->envname("TENSORFERRYD_TLS_CERT");
  CLI::Option* const key = app.add_option("--tls-key", options.server.security.tls.private_key,
                                          "PEM file with the private key of --tls-cert")
                               ->type_name("FILE")
                               ->check(not_empty)
                               ->envname("TENSORFERRYD_TLS_KEY");
  certificate->needs(key);
  key->needs(certificate);
  CLI::Option* const client_ca =
      app.add_option("--tls-client-ca", options.server.security.tls.client_ca,
                     "Mutual TLS: PEM file with the authorities whose certificates clients must show; default: clients "
                     "need none")
          ->type_name("FILE")
          ->check(not_empty)
          ->envname("TENSORFERRYD_TLS_CLIENT_CA")
          ->needs(certificate);
  app.add_option("--allowed-clients", options.server.security.allowed_clients,
                 "With --tls-client-ca: only clients whose certificate has this name (exactly; a subject alternative "
                 "name or the common name) may call; may be repeated; default: all of them")
      ->type_name("NAME")
      ->default_str("")
      ->check(not_empty)
      ->allow_extra_args(false)
      ->envname("TENSORFERRYD_ALLOWED_CLIENTS")
      ->needs(client_ca);
  app.add_option("--token-file", options.server.security.token_file,
                 "Only calls with a bearer token that stands in this file are answered: lines of NAME TOKEN "
                 "[MODEL-GLOB ...], where a token without globs may read every model; default: no tokens")
      ->type_name("FILE")
      ->check(not_empty)
      ->envname("TENSORFERRYD_TOKEN_FILE");
}

}  // namespace

namespace {

void AddProcessOptions(CLI::App& app, Options& options) {
  app.add_option("--admin-listen", options.admin_listen,
                 "host:port or [ipv6]:port for /metrics, /livez and /readyz over HTTP, which tell nothing of models; "
                 "port 0 lets the system choose one; off: none")
      ->envname("TENSORFERRYD_ADMIN_LISTEN");
  app.add_option("--log-format", options.log.format,
                 "The log on stderr: text with fields as in logfmt, or json with an object a line")
      ->check(CLI::IsMember({"text", "json"}))
      ->envname("TENSORFERRYD_LOG_FORMAT");
  app.add_option("--log-level", options.log.level, "What is logged: this and worse")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->envname("TENSORFERRYD_LOG_LEVEL");
  app.add_flag("--log-calls", options.server.log_calls,
               "Log each call when it ends: method, model, code, bytes, seconds and peer, at level info")
      ->envname("TENSORFERRYD_LOG_CALLS");
  AddConfigFile(app);
  app.add_flag("--check-config", options.check_config,
               "Only look whether the server could start, without listening: flags, config file, root, certificates, "
               "tokens; say what was found, and exit with 0 or 1. With --verify full it reads every file, too")
      ->configurable(false);
}

}  // namespace

std::optional<Options> ParseOptions(int argc, char** argv, int& exit_code) {
  Options options;
  CLI::App app("tensorferryd serves the tensors of a directory of safetensors files over gRPC.", "tensorferryd");
  app.footer(
      "Each flag can also come from the environment (--max-streams: TENSORFERRYD_MAX_STREAMS) or a config file "
      "(--config; max-streams = 100); the command line goes first, then the environment, then the file.\n"
      "A SIZE counts bytes, or has a suffix for powers of 1024: 64KiB, 1MiB, 4GiB, 1TiB.\n"
      "SIGTERM and SIGINT drain and end the server, a second one ends it at once; SIGHUP scans the root again.\n"
      "Exit codes: 0 ended after a signal, 1 failed, 2 wrong usage or configuration.");
  app.failure_message([](const CLI::App*, const CLI::Error& error) {
    return fmt::format("tensorferryd: {} (--help tells more)\n", Escape(error.what()));
  });
  app.set_version_flag("--version", "tensorferryd " TENSORFERRY_VERSION)->configurable(false);
  app.get_help_ptr()->configurable(false);
  app.option_defaults()->always_capture_default();
  app.add_option("--root", options.root, "Directory to serve; nothing outside it is ever opened")
      ->required()
      ->envname("TENSORFERRYD_ROOT");
  app.add_option("--listen", options.server.listen,
                 "host:port, [ipv6]:port or unix:PATH; port 0 lets the system choose one")
      ->envname("TENSORFERRYD_LISTEN");
  AddProcessOptions(app, options);
  AddSecurityOptions(app, options);
  app.add_flag("--reflection", options.server.reflection, "Serve gRPC server reflection")
      ->envname("TENSORFERRYD_REFLECTION");
  std::string io = "mmap";
  app.add_option("--io", io,
                 "How files are read: mmap sends from the mapping what it has read before; pread copies, for network "
                 "filesystems")
      ->check(CLI::IsMember({"mmap", "pread"}))
      ->envname("TENSORFERRYD_IO");
  std::string verify = "headers";
  app.add_option("--verify", verify,
                 "Checks before a file is served: headers validates headers and samples; full also reads all bytes and "
                 "compares known digests (.sha256 files, names of Hugging Face blobs). Neither changes a generation")
      ->check(CLI::IsMember({"headers", "full"}))
      ->envname("TENSORFERRYD_VERIFY");
  app.add_option("--chunk-bytes", options.server.stream.chunk_bytes, "Data in one message of a stream")
      ->type_name("SIZE")
      ->default_str(SizeText(static_cast<std::int64_t>(options.server.stream.chunk_bytes)))
      ->transform(SizeIn(std::int64_t{4} << 10, std::int64_t{3} << 20))
      ->envname("TENSORFERRYD_CHUNK_BYTES");
  app.add_option("--network-threads", options.server.network_threads,
                 "Threads that drive gRPC, each for the connections it was given; 0: one a core, at most 16")
      ->check(CLI::Range(0, 256))
      ->envname("TENSORFERRYD_NETWORK_THREADS");
  app.add_option("--workers", options.server.stream.workers, "Threads that read from disk and prepare messages")
      ->check(CLI::Range(1, 256))
      ->envname("TENSORFERRYD_WORKERS");
  app.add_option("--max-streams", options.server.stream.limits.max_streams,
                 "Streams at once, over all connections; 0: no limit. More are refused with RESOURCE_EXHAUSTED")
      ->check(CLI::Range(0, 1'000'000))
      ->envname("TENSORFERRYD_MAX_STREAMS");
  app.add_option("--max-in-flight-bytes", options.server.stream.limits.max_in_flight_bytes,
                 "Data in messages that clients have not taken, over all streams; 0: no limit. At half of it streams "
                 "prepare less ahead, at all of it new ones are refused with RESOURCE_EXHAUSTED")
      ->type_name("SIZE")
      ->default_str(SizeText(options.server.stream.limits.max_in_flight_bytes))
      ->transform(SizeIn(0, std::int64_t{1} << 50))
      ->envname("TENSORFERRYD_MAX_IN_FLIGHT_BYTES");
  app.add_option("--max-streams-per-connection", options.server.max_streams_per_connection,
                 "Calls at once on one connection; more wait at the client")
      ->check(CLI::Range(1, 1'000'000))
      ->envname("TENSORFERRYD_MAX_STREAMS_PER_CONNECTION");
  const CLI::Range seconds_range(std::int64_t{0}, std::int64_t{31'536'000});
  std::int64_t stall_seconds = InSeconds(options.server.stream.limits.stall_timeout);
  app.add_option("--stall-timeout", stall_seconds,
                 "Seconds after which a stream whose client takes nothing is cut off; 0: never")
      ->check(seconds_range)
      ->envname("TENSORFERRYD_STALL_TIMEOUT");
  std::int64_t max_stream_seconds = InSeconds(options.server.stream.limits.max_duration);
  app.add_option("--max-stream-duration", max_stream_seconds,
                 "Seconds after which a stream is cut off in any case; 0: never")
      ->check(seconds_range)
      ->envname("TENSORFERRYD_MAX_STREAM_DURATION");
  std::int64_t connection_age_seconds = options.server.max_connection_age.count();
  app.add_option(
         "--max-connection-age", connection_age_seconds,
         "Seconds after which a connection takes no new calls, so that clients come to new servers; its streams "
         "get an hour to finish; 0: never")
      ->check(seconds_range)
      ->envname("TENSORFERRYD_MAX_CONNECTION_AGE");
  std::int64_t scan_seconds = options.watch.interval.count();
  app.add_option(
         "--scan-interval", scan_seconds,
         "Seconds from one scan of the root for new, replaced and deleted models to the next; 0: scan only when the "
         "system reports a change (network filesystems do not) and on SIGHUP")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{86400}))
      ->envname("TENSORFERRYD_SCAN_INTERVAL");
  std::int64_t lame_duck_seconds = InSeconds(options.lame_duck);
  app.add_option(
         "--lame-duck", lame_duck_seconds,
         "Seconds that the server goes on after SIGTERM, told to be not ready, so that whoever sends clients to "
         "it notices")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{86400}))
      ->envname("TENSORFERRYD_LAME_DUCK");
  std::int64_t drain_seconds = InSeconds(options.drain_timeout);
  app.add_option("--drain-timeout", drain_seconds,
                 "Seconds that streams then have to finish, before they are cut off and go on elsewhere")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{86400}))
      ->envname("TENSORFERRYD_DRAIN_TIMEOUT");
  try {
    app.parse(ArgumentsWithConfigFile(argc, argv));
  } catch (const CLI::ParseError& error) {
    // CLI11 prints help and version to stdout, errors to stderr.
    exit_code = app.exit(error) == 0 ? 0 : 2;
    return std::nullopt;
  }
  if (verify == "full") options.watch.verify = Verify::kFull;
  if (io == "pread") options.server.stream.io = IoMode::kPread;
  options.server.max_connection_age = std::chrono::seconds(connection_age_seconds);
  options.server.stream.limits.stall_timeout = std::chrono::seconds(stall_seconds);
  options.server.stream.limits.max_duration = std::chrono::seconds(max_stream_seconds);
  options.watch.interval = std::chrono::seconds(scan_seconds);
  options.lame_duck = std::chrono::seconds(lame_duck_seconds);
  options.drain_timeout = std::chrono::seconds(drain_seconds);
  return options;
}

}  // namespace tensorferry::server
