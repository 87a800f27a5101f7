// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "client/cli/commands/commands.h"
#include "client/cli/flags/connection.h"
#include "client/cli/flags/help.h"
#include "client/cli/output/human.h"
#include "client/cli/output/npy.h"
#include "client/cli/output/progress_bar.h"
#include "client/cli/output/stream_sink.h"
#include "client/cli/output/terminal.h"
#include "client/cli/process/interrupt.h"
#include "lib/files/atomic_file.h"
#include "lib/files/file_io.h"
#include "lib/text/quote.h"
#include "tensorferry/client.h"
#include "tensorferry/safetensors/writer.h"

namespace tensorferry::cli {
namespace {

struct GetOptions {
  ServerOptions server;
  std::string model;
  std::string tensor;
  std::optional<SliceSpec> slice;
  std::string output;
  std::string format;  // "raw", "npy", "safetensors"; empty: by the name of `output`
};

// Returns true if the output accepts bytes in order only: it exists and is a pipe, a terminal or a device.
bool IsStream(const std::string& output) {
  if (output == "-") return true;
  struct stat status {};
  return ::stat(output.c_str(), &status) == 0 && !S_ISREG(status.st_mode);
}

std::string OutputName(const std::string& output) { return output == "-" ? "standard output" : output; }

absl::StatusOr<UniqueFd> OpenStream(const std::string& output) {
  UniqueFd fd(output == "-" ? ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)
                            : ::open(output.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus(errno, "cannot open", OutputName(output));
  return fd;
}

// Fails if the disk is too full, before any byte is fetched. Succeeds if the filesystem cannot reserve space.
absl::Status Reserve(const AtomicFile& file, const std::string& path, std::int64_t size_bytes) {
  if (size_bytes == 0 || ::fallocate(file.fd(), FALLOC_FL_KEEP_SIZE, 0, size_bytes) == 0) return absl::OkStatus();
  if (errno != ENOSPC && errno != EDQUOT && errno != EFBIG) return absl::OkStatus();
  return ErrnoStatus(errno, fmt::format("cannot write {} to", HumanSize(size_bytes)), path);
}

// Returns the bytes that come before the data in a file of that format. Errors: the format cannot hold the result.
absl::StatusOr<std::string> EncodeHead(const std::string& format, const ReadResult& result) {
  if (format == "raw") return std::string();
  if (format == "safetensors") {
    return safetensors::EncodeFileHead(result.name, result.dtype, result.shape, result.size_bytes);
  }
  if (const auto descr = NpyDescr(result.dtype)) return NpyHeader(*descr, result.shape);
  return absl::FailedPreconditionError(fmt::format(
      "NumPy has no dtype {}, so a .npy file cannot hold it: use --format safetensors, or --format raw for bytes only",
      DtypeName(result.dtype)));
}

// The output of a fetch. A file appears under its name only when it is complete; a stream is written at once.
class Output {
 public:
  // Opens a stream, or creates a file without a name. Errors: those of the operating system.
  static absl::StatusOr<Output> Open(const std::string& path, std::string format) {
    Output output(path, std::move(format));
    if (IsStream(path)) {
      absl::StatusOr<UniqueFd> stream = OpenStream(path);
      if (!stream.ok()) return stream.status();
      output.stream_ = *std::move(stream);
    } else {
      absl::StatusOr<AtomicFile> file = AtomicFile::Create(path);
      if (!file.ok()) return file.status();
      output.file_ = *std::move(file);
    }
    return output;
  }

  // Returns the destination of the result. This object must outlive the fetch.
  Destination Into() {
    return Destination::Deferred([this](const ReadResult& result) { return Begin(result); });
  }

  // Gives the complete file its name. Does nothing for a stream.
  absl::Status Commit() { return file_ ? file_->Commit() : absl::OkStatus(); }

 private:
  Output(std::string path, std::string format) : path_(std::move(path)), format_(std::move(format)) {}

  // Writes the bytes before the data, and returns the destination of the data.
  absl::StatusOr<Destination> Begin(const ReadResult& result) {
    const absl::StatusOr<std::string> head = EncodeHead(format_, result);
    if (!head.ok()) return head.status();
    const std::span<const std::byte> bytes = std::as_bytes(std::span(*head));
    const auto head_size = static_cast<std::int64_t>(head->size());
    if (!file_) {
      if (absl::Status status = WriteToStream(stream_.get(), bytes, OutputName(path_)); !status.ok()) return status;
      sink_ = std::make_unique<StreamSink>(stream_.get(), OutputName(path_), result.size_bytes);
    } else {
      absl::Status status = Reserve(*file_, path_, head_size + result.size_bytes);
      if (status.ok()) status = file_->Append(bytes);
      if (!status.ok()) return status;
      sink_ = std::make_unique<FileSink>(file_->fd(), path_, head_size, result.size_bytes);
    }
    return Destination(sink_.get());
  }

  std::string path_;
  std::string format_;
  std::optional<AtomicFile> file_;
  UniqueFd stream_;
  std::unique_ptr<Sink> sink_;
};

std::string FormatOf(const GetOptions& options) {
  if (!options.format.empty()) return options.format;
  const std::string_view output = options.output;
  if (output.ends_with(".npy")) return "npy";
  if (output.ends_with(".safetensors")) return "safetensors";
  return "raw";
}

absl::Status Get(const GetOptions& options, Interrupt& interrupt) {
  const Deadline deadline(options.server);
  ServerOptions server = options.server;
  // A stream needs bytes in order, and several connections deliver them out of order.
  if (IsStream(options.output)) server.connections = 1;
  auto output = Output::Open(options.output, FormatOf(options));
  if (!output.ok()) return output.status();
  const auto client = Connect(server, deadline);
  if (!client.ok()) return client.status();
  interrupt.Arm();

  ProgressBar progress_bar(options.tensor);
  const FetchOptions fetch{.timeout = deadline.remaining(),
                           .stop_token = interrupt.token(),
                           .on_retry = progress_bar.OnRetry(),
                           .on_progress = progress_bar.OnProgress()};
  const Read read{.tensor = options.tensor, .slice = options.slice, .into = output->Into()};
  const auto fetched = client->Fetch(options.model, std::span(&read, 1), fetch);
  return fetched.ok() ? output->Commit() : fetched.status();
}

ExitCode RunGet(const GetOptions& options) {
  if (options.output.empty()) return PrintWrongUsage("-o is empty: give a file name, or - for stdout");
  if (options.output == "-" && ::isatty(STDOUT_FILENO) == 1) {
    return PrintWrongUsage("will not write binary data to a terminal: redirect stdout, or give -o FILE");
  }
  if (FormatOf(options) == "safetensors" && IsStream(options.output)) {
    return PrintWrongUsage(
        fmt::format("cannot write safetensors to {}: give the name of a regular file with -o, or --format raw",
                    OutputName(options.output)));
  }
  Interrupt interrupt;
  const absl::Status status = interrupt.Explain(Get(options, interrupt));
  if (status.ok()) return kDone;
  return PrintFailure(fmt::format("cannot get tensor {} of model {} from {}", Quote(options.tensor),
                                  Quote(options.model), ServerName(options.server)),
                      status);
}

}  // namespace

void AddGetCommand(CLI::App& program, std::function<ExitCode()>& run) {
  auto options = std::make_shared<GetOptions>();
  CLI::App* const command =
      AddCommand(program, "get", "Fetch one tensor, or a slice of it, into a file.",
                 {"tensorferry get llama-8b lm_head.weight -o lm_head.npy",
                  "tensorferry get llama-8b lm_head.weight --slice '[0:128, :]' -o rows.safetensors",
                  "tensorferry get llama-8b lm_head.weight -o - | sha256sum"});
  command->add_option("MODEL", options->model, "The model, as ls names it.")->required();
  command->add_option("TENSOR", options->tensor, "The tensor, as ls MODEL names it.")->required();
  command
      ->add_option("-o,--output", options->output,
                   "File to write, which appears only when it is complete; - is stdout.")
      ->group("Output")
      ->type_name("FILE")
      ->required();
  command
      ->add_option("--format", options->format,
                   "npy, safetensors or raw, which is the bytes alone. By default, the name of FILE decides: .npy, "
                   ".safetensors, else raw.")
      ->group("Output")
      ->type_name("FORMAT")
      ->check(CLI::Validator(
          [](const std::string& text) {
            if (text == "npy" || text == "safetensors" || text == "raw") return std::string();
            return fmt::format("{}: give npy, safetensors or raw", Quote(text));
          },
          ""));
  command
      ->add_option_function<std::string>(
          "--slice",
          [options](const std::string& text) {
            const auto slice = SliceSpec::Parse(text);
            if (!slice.ok()) throw CLI::ValidationError("--slice", std::string(slice.status().message()));
            options->slice = *slice;
          },
          "Part of the tensor, as numpy writes it: '[0:128, :, -1]'.")
      ->group("Output")
      ->type_name("SLICE")
      ->default_str("everything");
  AddServerOptions(*command, options->server);
  command->callback([options, &run] { run = [options] { return RunGet(*options); }; });
}

}  // namespace tensorferry::cli
