// SPDX-License-Identifier: Apache-2.0
#include "client/cli/get.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "client/cli/address_space.h"
#include "client/cli/connection.h"
#include "client/cli/device_flags.h"
#include "client/cli/device_round_trip.h"
#include "client/cli/human.h"
#include "client/cli/interrupt.h"
#include "client/cli/npy.h"
#include "client/cli/output_destination.h"
#include "client/cli/progress_bar.h"
#include "client/cli/result_size.h"
#include "client/cli/retry_line.h"
#include "client/cli/terminal.h"
#include "tensorferry/client.h"
#include "tensorferry/files/atomic_file.h"
#include "tensorferry/files/file_io.h"
#include "tensorferry/quote.h"
#include "tensorferry/safetensors/writer.h"

namespace tensorferry::cli {
namespace {

struct GetOptions {
  ServerOptions server;
  std::string model;
  std::string tensor;
  std::optional<SliceSpec> slice;
  std::string output;
  std::string format;  // "raw", "npy", "safetensors"; empty: by the name of the output
  DeviceFlags device;
};

// What the fetch of one command goes by.
struct GetJob {
  const GetOptions& options;
  const Client& client;
  const std::optional<CudaDevice>& device;
  const TensorInfo& info;
  std::int64_t result_size_bytes = 0;
  FetchOptions fetch = {};
};

// Whether the output is there already and takes bytes as they come: a pipe, a device.
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

// Finds out that a disk is too full before anything is fetched, where the filesystem can tell.
absl::Status Reserve(const AtomicFile& file, const std::string& path, std::int64_t size_bytes) {
  if (size_bytes == 0 || ::fallocate(file.fd(), FALLOC_FL_KEEP_SIZE, 0, size_bytes) == 0) return absl::OkStatus();
  if (errno != ENOSPC && errno != EDQUOT && errno != EFBIG) return absl::OkStatus();
  return ErrnoStatus(errno, fmt::format("cannot write {} to", HumanSize(size_bytes)), path);
}

absl::Status FetchInto(const GetJob& job, Destination& destination) {
  const std::array reads = {Read{job.options.tensor, job.options.slice, &destination}};
  return job.client.Fetch(job.options.model, reads, job.fetch).status();
}

absl::StatusOr<Tensor> FetchInMemory(const GetJob& job) {
  const GetOptions& options = job.options;
  const absl::Status room = CheckRoomFor(job.result_size_bytes, options.server.connections);
  if (!room.ok()) return room;
  if (job.device) {
    return FetchByWayOf(*job.device, job.client, options.model, options.tensor, options.slice, job.result_size_bytes,
                        job.fetch);
  }
  return job.client.FetchTensor(options.model, options.tensor, options.slice, job.fetch);
}

// Writes the output piece by piece: all that `produce` hands to the function that it is given.
template <typename Produce>
absl::Status WritePieces(const GetJob& job, const Produce& produce) {
  const std::string& output = job.options.output;
  if (IsStream(output)) {
    const auto stream = OpenStream(output);
    if (!stream.ok()) return stream.status();
    return produce(
        [&](std::span<const std::byte> data) { return WriteToStream(stream->get(), data, OutputName(output)); });
  }
  auto file = AtomicFile::Create(output);
  if (!file.ok()) return file.status();
  if (const absl::Status reserved = Reserve(*file, output, job.result_size_bytes); !reserved.ok()) return reserved;
  const absl::Status written = produce([&](std::span<const std::byte> data) { return file->Append(data); });
  return written.ok() ? file->Commit() : written;
}

absl::Status GetRaw(const GetJob& job) {
  const std::string& output = job.options.output;
  if (job.device) {
    return WritePieces(job, [&](const auto& append) {
      const auto tensor = FetchInMemory(job);
      return tensor.ok() ? append(tensor->data()) : tensor.status();
    });
  }
  if (IsStream(output)) {
    const auto stream = OpenStream(output);
    if (!stream.ok()) return stream.status();
    StreamDestination destination(stream->get(), OutputName(output), job.result_size_bytes);
    return FetchInto(job, destination);
  }
  auto file = AtomicFile::Create(output);
  if (!file.ok()) return file.status();
  if (const absl::Status reserved = Reserve(*file, output, job.result_size_bytes); !reserved.ok()) return reserved;
  FileDestination destination(file->fd(), output, /*file_offset=*/0, job.result_size_bytes);
  if (const absl::Status fetched = FetchInto(job, destination); !fetched.ok()) return fetched;
  return file->Commit();
}

absl::Status CannotBeNpy(Dtype dtype) {
  return absl::FailedPreconditionError(fmt::format(
      "NumPy has no {}, so that no .npy file can hold it: use --format safetensors, or --format raw for the bare bytes",
      DtypeName(dtype)));
}

// Fetches the tensor and hands a .npy file's header, then its data, to `append`.
template <typename Append>
absl::Status AppendNpy(const GetJob& job, const Append& append) {
  const auto tensor = FetchInMemory(job);
  if (!tensor.ok()) return tensor.status();
  // The tensor may be another one than the one that was looked up.
  const auto descr = NpyDescr(tensor->dtype());
  if (!descr) return CannotBeNpy(tensor->dtype());
  const std::string header = NpyHeader(*descr, tensor->shape());
  if (const absl::Status status = append(std::as_bytes(std::span(header))); !status.ok()) return status;
  return append(tensor->data());
}

absl::Status GetNpy(const GetJob& job) {
  if (!NpyDescr(job.info.dtype)) return CannotBeNpy(job.info.dtype);
  return WritePieces(job, [&](const auto& append) { return AppendNpy(job, append); });
}

absl::Status GetSafetensors(const GetJob& job) {
  const std::string& output = job.options.output;
  {
    // Only tells whether the output can be written: the writer makes a file of its own.
    const auto file = AtomicFile::Create(output);
    if (!file.ok()) return file.status();
    if (const absl::Status reserved = Reserve(*file, output, job.result_size_bytes); !reserved.ok()) return reserved;
  }
  const auto tensor = FetchInMemory(job);
  if (!tensor.ok()) return tensor.status();
  const std::array tensors = {
      safetensors::TensorToWrite{tensor->name(), tensor->dtype(), tensor->shape(), tensor->data()}};
  return safetensors::WriteFile(output, tensors);
}

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
  // A stream takes bytes in order, which several connections do not give.
  if (IsStream(options.output)) server.connections = 1;
  const auto device = options.device.Open();
  if (!device.ok()) return device.status();
  const auto client = Connect(server, deadline);
  if (!client.ok()) return client.status();
  interrupt.Arm();

  FetchOptions fetch;
  fetch.stop_token = interrupt.token();
  fetch.timeout = deadline.remaining();
  fetch.on_retry = PrintRetries();
  const auto info = client->GetTensorInfo(options.model, options.tensor, fetch);
  if (!info.ok()) return info.status();
  const auto size_bytes = ResultSizeBytes(*info, options.slice);
  if (!size_bytes.ok()) return size_bytes.status();

  ProgressBar progress_bar(options.tensor);
  fetch.timeout = deadline.remaining();
  fetch.on_progress = progress_bar.Callback();
  fetch.on_retry = PrintRetries(&progress_bar);
  const GetJob job{options, *client, *device, *info, *size_bytes, fetch};
  const std::string format = FormatOf(options);
  if (format == "npy") return GetNpy(job);
  if (format == "safetensors") return GetSafetensors(job);
  return GetRaw(job);
}

ExitCode RunGet(const GetOptions& options) {
  if (options.output.empty()) return PrintWrongUsage("-o needs the name of a file");
  if (options.output == "-" && ::isatty(STDOUT_FILENO) == 1) {
    return PrintWrongUsage("refusing to write binary data to a terminal: redirect the output, or give -o FILE");
  }
  if (FormatOf(options) == "safetensors" && IsStream(options.output)) {
    return PrintWrongUsage(fmt::format("a safetensors file cannot be written to {}: give -o FILE or --format raw",
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
  CLI::App* const command = program.add_subcommand("get", "Fetch one tensor, or a slice of it, into a file");
  command->add_option("MODEL", options->model, "The model, as ls names it")->type_name("")->required();
  command->add_option("TENSOR", options->tensor, "The tensor, as ls MODEL names it")->type_name("")->required();
  command
      ->add_option_function<std::string>(
          "--slice",
          [options](const std::string& text) {
            const auto slice = SliceSpec::Parse(text);
            if (!slice.ok()) throw CLI::ValidationError("--slice", std::string(slice.status().message()));
            options->slice = *slice;
          },
          "The part to take, as numpy writes it, for example '[0:128, :, -1]'; default: everything")
      ->type_name("SLICE");
  command
      ->add_option("-o,--output", options->output,
                   "The file to write, which appears only when it is complete; - writes raw bytes to stdout")
      ->type_name("FILE")
      ->required();
  command
      ->add_option("--format", options->format,
                   "npy, safetensors or raw (the bytes alone); default: by the end of FILE, .npy or .safetensors, "
                   "else raw")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"npy", "safetensors", "raw"}).description(""));
  AddDeviceFlags(*command, "Fetch into this GPU's memory, and write and verify what comes back from there",
                 options->device);
  AddServerOptions(*command, options->server);
  command->callback([options, &run] { run = [options] { return RunGet(*options); }; });
}

}  // namespace tensorferry::cli
