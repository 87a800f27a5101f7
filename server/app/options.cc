// SPDX-License-Identifier: Apache-2.0
#include "server/app/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "lib/text/quote.h"
#include "server/app/config_file.h"
#include "server/app/flag_values.h"
#include "server/app/help.h"
#include "tensorferry/version.h"

namespace tensorferry::server {
namespace {

constexpr std::int64_t kDaySeconds = 86'400;
constexpr std::int64_t kYearSeconds = 365 * kDaySeconds;

constexpr const char* kDescription =
    "tensorferryd serves the tensors of a directory of safetensors files over gRPC.\n"
    "\n"
    "  tensorferryd --root /models\n"
    "      serves to this machine, on 127.0.0.1:7070.\n"
    "  tensorferryd --root /models --listen 0.0.0.0:7070 --tls-cert tls.crt --tls-key tls.key\n"
    "      serves to the network with TLS.\n"
    "  tensorferryd --root /models --check-config\n"
    "      checks flags, files and models, and exits.\n";

constexpr const char* kFooter =
    "Each flag can also come from the environment or from a config file:\n"
    "  --max-streams 100, TENSORFERRYD_MAX_STREAMS=100, max-streams = 100\n"
    "The command line precedes the environment, which precedes the file.\n"
    "A SIZE is in bytes or has a suffix for powers of 1024: 64KiB, 1MiB, 4GiB, 1TiB.\n"
    "\n"
    "SIGTERM and SIGINT drain and end the server; a second one ends it at once.\n"
    "SIGHUP scans the root again.\n"
    "Exit codes: 0 ended by a signal, 1 failed, 2 wrong usage or configuration.";

// Options of CLI11 that are converted after parsing.
struct RawOptions {
  std::string io = "mmap";
  std::string verify = "headers";
  std::int64_t stall_timeout = 0;
  std::int64_t max_stream_duration = 0;
  std::int64_t max_connection_age = 0;
  std::int64_t scan_interval = 0;
  std::int64_t lame_duck = 0;
  std::int64_t drain_timeout = 0;
};

std::int64_t InSeconds(std::chrono::milliseconds time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time).count();
}

// Adds the flags of one group of --help.
class FlagGroup {
 public:
  FlagGroup(CLI::App& app, std::string name) : app_(app), name_(std::move(name)) {}

  CLI::Option* Switch(const char* flag, bool& value, const char* description) {
    return app_.add_flag(flag, value, description)->group(name_);
  }
  // `notes` follow the default value in the help.
  template <typename T>
  CLI::Option* Value(const char* flag, const char* type, T& value, const char* notes, const char* description) {
    CLI::Option* const option = app_.add_option(flag, value, description)->type_name(type)->group(name_);
    return option->default_str(fmt::format("{}{}", value, notes));
  }
  CLI::Option* Seconds(const char* flag, std::int64_t& value, const char* notes, std::int64_t max,
                       const char* description) {
    return Value(flag, "SECONDS", value, notes, description)->check(WholeSeconds(0, max));
  }
  template <typename T>
  CLI::Option* Bytes(const char* flag, T& value, const char* notes, std::int64_t min, std::int64_t max,
                     const char* description) {
    return Value(flag, "SIZE", value, "", description)
        ->default_str(SizeText(static_cast<std::int64_t>(value)) + notes)
        ->transform(Size(min, max));
  }
  CLI::Option* File(const char* flag, std::string& value, const char* description) {
    return app_.add_option(flag, value, description)->type_name("FILE")->group(name_)->check(NotEmpty());
  }

 private:
  CLI::App& app_;
  const std::string name_;
};

void AddNetworkFlags(CLI::App& app, Options& options, RawOptions& raw) {
  FlagGroup group(app, "Network");
  group.Value("--listen", "ADDRESS", options.server.listen, "",
              "Listen on host:port, [ipv6]:port or unix:PATH. Port 0: the system chooses one.");
  group.Value("--admin-listen", "ADDRESS", options.admin_listen, ", off = none",
              "Serve /metrics, /livez and /readyz over HTTP on host:port or [ipv6]:port. They reveal nothing about "
              "models. Port 0: the system chooses one.");
  group.Switch("--reflection", options.server.reflection, "Serve gRPC server reflection.");
  group
      .Value("--network-threads", "N", options.server.network_threads, " = one per core, at most 16",
             "Threads that drive gRPC. Each serves its own connections. At most 256.")
      ->check(WholeNumber(0, 256));
  group.Seconds("--max-connection-age", raw.max_connection_age, ", 0 = forever", kYearSeconds,
                "After this time a connection accepts no new calls, so that clients spread over new servers. Its "
                "streams may run for one more hour.");
  group.Seconds("--lame-duck", raw.lame_duck, "", kDaySeconds,
                "Continue to serve for this time after SIGTERM while reporting \"not ready\", so that load balancers "
                "send clients elsewhere.");
  group.Seconds("--drain-timeout", raw.drain_timeout, "", kDaySeconds,
                "After the lame duck, let streams finish for this time. Then they are cut off, and clients resume on "
                "another server.");
}

void AddSecurityFlags(CLI::App& app, Options& options) {
  FlagGroup group(app, "Security");
  SecurityOptions& security = options.server.security;
  CLI::Option* const certificate =
      group.File("--tls-cert", security.tls.certificate,
                 "Serve with TLS, with the certificate chain in this PEM file, the server's certificate first. This "
                 "and the following files are reloaded within a second when they change.");
  CLI::Option* const key =
      group.File("--tls-key", security.tls.private_key, "PEM file of the certificate's private key.");
  certificate->needs(key);
  key->needs(certificate);
  CLI::Option* const client_ca =
      group
          .File("--tls-client-ca", security.tls.client_ca,
                "Mutual TLS: clients without a certificate from the CAs in this PEM file are rejected in the "
                "handshake.")
          ->needs(certificate);
  app.add_option("--allowed-clients", security.allowed_clients,
                 "With --tls-client-ca: only clients whose certificate has this name may call. The name is a subject "
                 "alternative name or the common name and must match exactly. May be repeated.")
      ->type_name("NAME")
      ->group("Security")
      ->default_str("")
      ->check(NotEmpty())
      ->allow_extra_args(false)
      ->needs(client_ca);
  group.File("--token-file", security.token_file,
             "Require a bearer token of this file. Its lines are NAME TOKEN [MODEL-GLOB ...]. A token without globs "
             "may read every model.");
  group.Switch("--insecure", security.insecure,
               "Allow plaintext on addresses that are not loopback, and tokens in plaintext on any address. Everybody "
               "who reaches the address can then read the models.");
}

void AddLimitFlags(CLI::App& app, Options& options, RawOptions& raw) {
  FlagGroup group(app, "Limits");
  StreamLimits& limits = options.server.stream.limits;
  group
      .Value("--max-streams", "N", limits.max_streams, ", 0 = unlimited",
             "Streams at the same time, over all connections. More are refused with RESOURCE_EXHAUSTED.")
      ->check(WholeNumber(0, 1'000'000));
  group
      .Value("--max-streams-per-connection", "N", options.server.max_streams_per_connection, "",
             "Calls at the same time on one connection. More wait in the client.")
      ->check(WholeNumber(1, 1'000'000));
  group.Bytes("--max-in-flight-bytes", limits.max_in_flight_bytes, ", 0 = unlimited", 0, std::int64_t{1} << 50,
              "Data in messages that clients have not read, over all streams. From half of it, streams prepare less "
              "ahead. Above it, new streams are refused with RESOURCE_EXHAUSTED.");
  group.Seconds("--stall-timeout", raw.stall_timeout, ", 0 = never", kYearSeconds,
                "Terminate streams whose client reads nothing for this long.");
  group.Seconds("--max-stream-duration", raw.max_stream_duration, ", 0 = unlimited", kYearSeconds,
                "Terminate streams that run longer than this.");
}

void AddFileFlags(CLI::App& app, Options& options, RawOptions& raw) {
  FlagGroup group(app, "Files");
  group.Value("--root", "DIR", options.root, "", "Directory to serve. Nothing outside it is ever opened.")->required();
  group
      .Value("--io", "MODE", raw.io, ", or pread",
             "How files are read: mmap sends from the mapping. pread copies; use it on network filesystems.")
      ->check(OneOf({"mmap", "pread"}));
  group
      .Value("--verify", "LEVEL", raw.verify, ", or full",
             "Checks before a file is served: headers validates headers and samples. full also reads all bytes and "
             "compares known digests (.sha256 files, names of Hugging Face blobs). Generations do not depend on it.")
      ->check(OneOf({"headers", "full"}));
  group.Seconds("--scan-interval", raw.scan_interval, ", 0 = only on hints", kDaySeconds,
                "Scan the root this often for new, replaced and deleted models. It is also scanned on SIGHUP and when "
                "the system reports a change, which network filesystems do not.");
  group.Bytes("--chunk-bytes", options.server.stream.chunk_bytes, ", 4KiB to 3MiB", std::int64_t{4} << 10,
              std::int64_t{3} << 20, "Data in one message of a stream.");
  group
      .Value("--workers", "N", options.server.stream.workers, ", 1 to 256",
             "Threads that read from disk and prepare messages.")
      ->check(WholeNumber(1, 256));
}

void AddLoggingFlags(CLI::App& app, Options& options) {
  FlagGroup group(app, "Logging");
  group
      .Value("--log-format", "FORMAT", options.log.format, ", or json",
             "Log on stderr as text with logfmt fields, or as one JSON object per line.")
      ->check(OneOf({"text", "json"}));
  group
      .Value("--log-level", "LEVEL", options.log.level, ", or debug, warning, error",
             "Log messages of this level and of more severe ones.")
      ->check(OneOf({"debug", "info", "warning", "error"}));
  group.Switch("--log-calls", options.server.log_calls,
               "Log each call when it ends: method, model, code, bytes, seconds, peer, and client, which is the name "
               "of its token or certificate.");
}

void AddGeneralFlags(CLI::App& app, Options& options) {
  constexpr const char* kGroup = "General";
  AddConfigFile(app)->group(kGroup);
  FlagGroup(app, kGroup)
      .Switch("--check-config", options.check_config,
              "Check flags, config file, certificates, tokens and models without listening, print the result, and exit "
              "with 0 or 1. With --verify full, reads every file.")
      ->configurable(false);
  app.set_version_flag("--version", "tensorferryd " TENSORFERRY_VERSION, "Print the version and exit.")
      ->group(kGroup)
      ->configurable(false);
  app.set_help_flag("-h,--help", "Print this help and exit.")->group(kGroup)->configurable(false);
}

// TENSORFERRYD_MAX_STREAMS for --max-streams.
void NameEnvironment(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    if (!option->get_configurable()) continue;
    std::string name = "TENSORFERRYD_" + option->get_lnames().front();
    for (char& c : name) {
      if (c == '-') c = '_';
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    option->envname(name);
  }
}

}  // namespace

std::optional<Options> ParseOptions(int argc, char** argv, int& exit_code) {
  Options options;
  RawOptions raw{.stall_timeout = InSeconds(options.server.stream.limits.stall_timeout),
                 .max_stream_duration = InSeconds(options.server.stream.limits.max_duration),
                 .max_connection_age = options.server.max_connection_age.count(),
                 .scan_interval = options.watch.interval.count(),
                 .lame_duck = InSeconds(options.lame_duck),
                 .drain_timeout = InSeconds(options.drain_timeout)};
  CLI::App app(kDescription, "tensorferryd");
  app.footer(kFooter);
  app.set_help_flag();  // --help is added last, so that its group is
  UsePlainHelp(app);
  app.failure_message([](const CLI::App*, const CLI::Error& error) {
    return fmt::format("tensorferryd: {} (see --help)\n", Escape(error.what()));
  });
  AddFileFlags(app, options, raw);
  AddNetworkFlags(app, options, raw);
  AddSecurityFlags(app, options);
  AddLimitFlags(app, options, raw);
  AddLoggingFlags(app, options);
  AddGeneralFlags(app, options);
  NameEnvironment(app);
  try {
    if (const std::optional<std::string> error = UnknownFlagError(app, argc, argv)) {
      throw CLI::ParseError(*error, CLI::ExitCodes::ExtrasError);
    }
    app.parse(ArgumentsWithConfigFile(argc, argv));
  } catch (const CLI::ParseError& error) {
    // CLI11 prints help and version to stdout, errors to stderr.
    exit_code = app.exit(error) == 0 ? 0 : 2;
    return std::nullopt;
  }
  if (raw.verify == "full") options.watch.verify = Verify::kFull;
  if (raw.io == "pread") options.server.stream.io = IoMode::kPread;
  options.server.max_connection_age = std::chrono::seconds(raw.max_connection_age);
  options.server.stream.limits.stall_timeout = std::chrono::seconds(raw.stall_timeout);
  options.server.stream.limits.max_duration = std::chrono::seconds(raw.max_stream_duration);
  options.watch.interval = std::chrono::seconds(raw.scan_interval);
  options.lame_duck = std::chrono::seconds(raw.lame_duck);
  options.drain_timeout = std::chrono::seconds(raw.drain_timeout);
  return options;
}

}  // namespace tensorferry::server
