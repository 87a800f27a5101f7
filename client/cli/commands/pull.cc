// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "client/cli/commands/commands.h"
#include "client/cli/flags/connection.h"
#include "client/cli/flags/help.h"
#include "client/cli/output/human.h"
#include "client/cli/output/progress_bar.h"
#include "client/cli/output/terminal.h"
#include "client/cli/process/interrupt.h"
#include "client/cli/pulling/partial_file.h"
#include "client/cli/pulling/pull_directory.h"
#include "lib/text/glob.h"
#include "lib/text/quote.h"
#include "tensorferry/client.h"

namespace tensorferry::cli {
namespace {

struct PullOptions {
  ServerOptions server;
  std::string model;
  std::string directory;
  std::vector<std::string> globs;
};

// The inputs that all files of one pull share.
struct PullJob {
  const PullOptions& options;
  const Client& client;
  const Deadline& deadline;
  const Interrupt& interrupt;
  std::string generation;
};

// Returns `status` with the file, the bytes that are kept and what to do next.
absl::Status ExplainPartial(const absl::Status& status, const FileInfo& file, const PartialFile& partial) {
  // If the model has changed, the bytes that are here are useless.
  const std::string next = absl::IsAborted(status)
                               ? "rerun to fetch the new version"
                               : fmt::format("{} of {} are here, rerun to resume", HumanSize(partial.present_bytes()),
                                             HumanSize(file.size_bytes));
  return absl::Status(status.code(),
                      fmt::format("file {}: {} ({})", Quote(file.name), std::string(status.message()), next));
}

absl::StatusOr<FileManifest> GetManifest(const PullJob& job, const FileInfo& file) {
  CallOptions call;
  call.timeout = job.deadline.remaining();
  call.stop_token = job.interrupt.token();
  call.generation = job.generation;
  call.on_retry = PrintRetry;
  return job.client.GetManifest(job.options.model, file.name, file.digest, call);
}

absl::Status FetchMissing(const PullJob& job, const FileInfo& file, PartialFile& partial) {
  if (partial.size_bytes() == 0) return absl::OkStatus();
  ProgressBar progress_bar(file.name, partial.resumed_at());
  const FetchOptions fetch{.timeout = job.deadline.remaining(),
                           .stop_token = job.interrupt.token(),
                           .generation = job.generation,
                           .on_retry = progress_bar.OnRetry(),
                           .on_progress = progress_bar.OnProgress()};
  return job.client.FetchFile(job.options.model, file.name, file.digest, partial.resumed_at(), &partial, fetch);
}

// Returns true if the directory has the file with the server's bytes: compares all blocks with the manifest.
absl::StatusOr<bool> IsUpToDate(const PullJob& job, const FileInfo& file, const PullDirectory& directory,
                                const PartialFile::GetManifest& get_manifest) {
  const UniqueFd copy = directory.OpenCopy(file);
  if (!copy.ok()) return false;
  const absl::StatusOr<FileManifest> manifest = get_manifest();
  if (!manifest.ok()) return manifest.status();
  const auto agreeing = AgreeingBytes(copy.get(), file.name, *manifest, job.interrupt.token());
  if (!agreeing.ok()) return agreeing.status();
  return *agreeing == file.size_bytes;
}

absl::Status PullFile(const PullJob& job, const FileInfo& file, const PullDirectory& directory) {
  if (job.interrupt.requested()) return absl::CancelledError("interrupted; rerun to resume");
  const std::string name = Escape(file.name);
  // Requested once at most: the copy and the partial file are compared with the same manifest.
  std::optional<FileManifest> manifest;
  const auto get_manifest = [&]() -> absl::StatusOr<FileManifest> {
    if (!manifest) {
      absl::StatusOr<FileManifest> requested = GetManifest(job, file);
      if (!requested.ok()) return requested.status();
      manifest = *std::move(requested);
    }
    return *manifest;
  };
  const absl::StatusOr<bool> up_to_date = IsUpToDate(job, file, directory, get_manifest);
  if (!up_to_date.ok()) return job.interrupt.Explain(up_to_date.status());
  if (*up_to_date) return WriteStdout(fmt::format("{}: up to date\n", name));

  auto partial = directory.OpenPartial(file, get_manifest, job.interrupt.token());
  if (!partial.ok()) return job.interrupt.Explain(partial.status());
  const absl::Status fetched = job.interrupt.Explain(FetchMissing(job, file, *partial));
  // If the server's file changed while it was sent, the bytes may belong to neither version.
  if (absl::IsAborted(fetched)) directory.Discard(file);
  if (!fetched.ok()) return ExplainPartial(fetched, file, *partial);
  if (const absl::Status published = directory.Publish(file, *partial); !published.ok()) return published;

  if (partial->resumed_at() == 0) {
    return WriteStdout(fmt::format("{}: fetched ({})\n", name, HumanSize(file.size_bytes)));
  }
  return WriteStdout(
      fmt::format("{}: resumed at {}, fetched ({})\n", name, partial->resumed_at(), HumanSize(file.size_bytes)));
}

// Returns true if there are no globs or the file's name matches one of them.
bool IsWanted(const std::vector<Glob>& globs, const FileInfo& file) {
  return globs.empty() ||
         std::any_of(globs.begin(), globs.end(), [&](const Glob& glob) { return glob.Matches(file.name); });
}

absl::StatusOr<std::vector<Glob>> ParseGlobs(const std::vector<std::string>& patterns) {
  std::vector<Glob> globs;
  for (const std::string& pattern : patterns) {
    absl::StatusOr<Glob> glob = Glob::Create(pattern);
    if (!glob.ok()) return glob.status();
    globs.push_back(*std::move(glob));
  }
  return globs;
}

absl::Status CheckFiles(const std::vector<FileInfo>& files) {
  for (const FileInfo& file : files) {
    if (!IsPullableName(file.name)) {
      return absl::DataLossError(fmt::format("the server lists a file with the unsafe name {}", Quote(file.name)));
    }
    if (file.size_bytes < 0) {
      return absl::DataLossError(
          fmt::format("the server lists file {} with a negative size, {} bytes", Quote(file.name), file.size_bytes));
    }
  }
  return absl::OkStatus();
}

absl::Status Pull(const PullOptions& options, const std::vector<Glob>& globs, Interrupt& interrupt) {
  const Deadline deadline(options.server);
  const auto client = Connect(options.server, deadline);
  if (!client.ok()) return client.status();
  interrupt.Arm();

  CallOptions call;
  call.timeout = deadline.remaining();
  call.stop_token = interrupt.token();
  call.on_retry = PrintRetry;
  const auto metadata = client->GetMetadata(options.model, call);
  if (!metadata.ok()) return interrupt.Explain(metadata.status());
  if (const absl::Status checked = CheckFiles(metadata->files); !checked.ok()) return checked;
  const auto wanted = [&](const FileInfo& file) { return IsWanted(globs, file); };
  if (std::none_of(metadata->files.begin(), metadata->files.end(), wanted)) {
    return absl::NotFoundError(options.globs.empty() ? "the model has no files"
                                                     : "no file of the model matches --glob");
  }

  auto directory = PullDirectory::Open(options.directory);
  if (!directory.ok()) return directory.status();
  const PullJob job{options, *client, deadline, interrupt, metadata->model.generation};
  std::set<std::string> unwanted;
  for (const FileInfo& file : metadata->files) {
    if (!wanted(file)) {
      unwanted.insert(file.name);
    } else if (const absl::Status pulled = PullFile(job, file, *directory); !pulled.ok()) {
      return pulled;
    }
  }
  // A later pull may resume the partial files that --glob left out. The others are stale.
  directory->RemoveLeftovers(unwanted);
  return absl::OkStatus();
}

ExitCode RunPull(PullOptions options) {
  if (options.directory.empty()) return PrintWrongUsage("DIR is empty: give the directory to fill");
  const absl::StatusOr<std::vector<Glob>> globs = ParseGlobs(options.globs);
  if (!globs.ok()) return PrintWrongUsage(std::string(globs.status().message()));
  // One connection delivers bytes in order. So the bytes on disk are the beginning of the file, and a pull can resume
  // even after a crash.
  options.server.connections = 1;
  Interrupt interrupt;
  const absl::Status status = Pull(options, *globs, interrupt);
  if (status.ok()) return kDone;
  return PrintFailure(fmt::format("cannot pull model {} from {} into {}", Quote(options.model),
                                  ServerName(options.server), Quote(options.directory)),
                      status);
}

}  // namespace

void AddPullCommand(CLI::App& program, std::function<ExitCode()>& run) {
  auto options = std::make_shared<PullOptions>();
  CLI::App* const command =
      AddCommand(program, "pull", "Fetch a model's files into a directory. Run it again to resume or to update.",
                 {"tensorferry pull llama-8b /models/llama-8b", "tensorferry pull llama-8b . --glob '*.json'",
                  "tensorferry pull llama-8b /models/llama-8b --server a:7070,b:7070"});
  command->add_option("MODEL", options->model, "The model, as ls names it.")->required();
  command
      ->add_option("DIR", options->directory,
                   "The directory to fill, which is created if it does not exist. Other files in it are kept.")
      ->required();
  command
      ->add_option("--glob", options->globs,
                   "Only files whose names match, for example '*.json'. May be repeated: files that match any of them.")
      ->group("Files")
      ->type_name("PATTERN")
      ->default_str("all files")
      ->expected(1)
      ->allow_extra_args(false)
      ->take_all();
  AddServerOptions(*command, options->server);
  command->get_option("--connections")->description("No effect: pull writes files in order, over one connection.");
  command->callback([options, &run] { run = [options] { return RunPull(*options); }; });
}

}  // namespace tensorferry::cli
