// SPDX-License-Identifier: Apache-2.0
#include "lib/catalog/file_loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <optional>
#include <set>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "lib/catalog/file_digest.h"
#include "lib/catalog/known_digest.h"
#include "lib/files/file_io.h"
#include "lib/text/quote.h"
#include "tensorferry/safetensors/file.h"

namespace tensorferry {
namespace {

absl::StatusOr<ModelFile> Read(std::shared_ptr<const MappedFile> mapped, const std::string& name, ModelFile::Kind kind,
                               const LoadOptions& options) {
  ModelFile file{.name = name, .kind = kind, .digest = {}, .file = std::move(mapped), .tensors = nullptr};
  absl::StatusOr<std::string> digest;
  if (kind == ModelFile::Kind::kSafetensors) {
    absl::StatusOr<std::shared_ptr<const SafetensorsFile>> tensors = SafetensorsFile::Create(file.file, options.limits);
    if (!tensors.ok()) return tensors.status();
    file.tensors = *std::move(tensors);
    digest = SampledDigest(*file.tensors);
  } else {
    digest = FullDigest(*file.file, options.stop);
  }
  if (!digest.ok()) return digest.status();
  file.digest = *std::move(digest);
  // The header and the digest must be of the same bytes.
  if (absl::Status status = CheckUnchangedInLoad(*file.file); !status.ok()) return status;
  return file;
}

// The text of a .sha256 file; empty if it is too large to be one. Errors: it cannot be read.
absl::StatusOr<std::string> ReadSumFile(const RootDirectory& root, const std::string& path) {
  const absl::StatusOr<std::shared_ptr<const MappedFile>> file = root.MapFile(path);
  if (!file.ok()) return file.status();
  if ((*file)->size_bytes() > kMaxSumFileBytes) return std::string();
  std::string text(static_cast<std::size_t>((*file)->size_bytes()), '\0');
  absl::Status status = ReadExactly((*file)->fd(), 0, std::as_writable_bytes(std::span(text)), path);
  if (!status.ok()) return status;
  return text;
}

bool IsDamaged(const LoadedFile& file) { return file.file.ok() && file.file->file->damaged(); }

// Returns true if `loaded` can be used again where `identity` and `sum_file` are found.
bool IsCurrent(const LoadedFile& loaded, const absl::StatusOr<FileIdentity>& identity,
               const std::optional<FileIdentity>& sum_file) {
  return identity.ok() && loaded.identity == *identity && loaded.sum_file == sum_file && !loaded.try_again &&
         !IsDamaged(loaded);
}

bool FailedAlike(const LoadedFile& a, const LoadedFile& b) {
  return !a.file.ok() && a.identity == b.identity && a.sum_file == b.sum_file && a.kind == b.kind &&
         a.file.status() == b.file.status();
}

}  // namespace

FileLoader::Key FileLoader::KeyOf(const FileIdentity& identity, ModelFile::Kind kind) {
  return {identity.device, identity.inode, identity.size_bytes, identity.modified_ns, kind};
}

FileLoader::Target FileLoader::FindTarget(const RootDirectory::Listing& listing, const std::string& directory,
                                          const std::string& name, ModelFile::Kind kind,
                                          const ScannedDirectory* before) const {
  Target target{.directory = directory,
                .name = name,
                .kind = kind,
                .identity = root_.Identify(listing, directory, name),
                .sum_file = IdentifySumFile(listing, directory, name, kind)};
  if (before == nullptr) return target;
  if (const auto found = before->files.find(name); found != before->files.end()) {
    target.before = found->second;
    target.unchanged = IsCurrent(*target.before, target.identity, target.sum_file);
    if (!target.unchanged) target.versions = OpenVersions(target.before->versions, 1);
  } else if (const auto gone = before->gone.find(name); gone != before->gone.end()) {
    target.versions = OpenVersions(gone->second, 0);
  }
  return target;
}

std::optional<FileIdentity> FileLoader::IdentifySumFile(const RootDirectory::Listing& listing,
                                                        const std::string& directory, const std::string& name,
                                                        ModelFile::Kind kind) const {
  if (options_.verify != Verify::kFull || kind != ModelFile::Kind::kSafetensors) return std::nullopt;
  const std::string sum_name = SumFileOf(name);
  if (!std::ranges::binary_search(listing.files, sum_name)) return std::nullopt;
  const absl::StatusOr<FileIdentity> identity = root_.Identify(listing, directory, sum_name);
  return identity.ok() ? std::optional(*identity) : std::nullopt;
}

std::shared_ptr<const LoadedFile> FileLoader::FindOpen(const Key& key) {
  if (!std::exchange(before_is_in_open_, true)) {
    for (const auto& [path, directory] : before_) {
      for (const auto& [name, file] : directory->files) {
        if (file->file.ok() && !IsDamaged(*file)) open_.emplace(KeyOf(*file->identity, file->kind), file);
      }
    }
  }
  const auto found = open_.find(key);
  return found == open_.end() ? nullptr : found->second;
}

void FileLoader::LoadAhead(const RootDirectory::Listing& listing, const std::string& directory, const Files& files,
                           const ScannedDirectory* before) {
  struct Task {
    Target target;
    std::optional<LoadedFile> loaded = {};
  };
  std::vector<Task> tasks;
  std::set<Key> keys;
  for (const auto& [name, kind] : files) {
    Target target = FindTarget(listing, directory, name, kind, before);
    if (target.unchanged || !target.identity.ok()) continue;
    // Several names may lead to one file.
    const Key key = KeyOf(*target.identity, kind);
    if (FindOpen(key) == nullptr && keys.insert(key).second) tasks.push_back({std::move(target)});
  }
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < tasks.size(); i = next++) tasks[i].loaded = Open(tasks[i].target);
  };
  {
    std::vector<std::jthread> threads;
    const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
    for (std::size_t i = 1; i < std::min({cores, kMaxThreads, tasks.size()}); ++i) threads.emplace_back(work);
    work();
  }
  ahead_.clear();
  for (Task& task : tasks) ahead_.emplace(task.target.name, *std::move(task.loaded));
}

std::shared_ptr<const LoadedFile> FileLoader::Load(const RootDirectory::Listing& listing, const std::string& directory,
                                                   const std::string& name, ModelFile::Kind kind,
                                                   const ScannedDirectory* before) {
  const Target target = FindTarget(listing, directory, name, kind, before);
  if (target.unchanged) return target.before;
  const std::string path = JoinPath(directory, name);
  if (const auto found = loaded_.find(path);
      found != loaded_.end() && IsCurrent(*found->second, target.identity, target.sum_file)) {
    return found->second;
  }
  auto loaded = std::make_shared<LoadedFile>();
  if (!target.identity.ok()) {
    loaded->kind = kind;
    loaded->file = target.identity.status();
    Finish(target, *loaded);
  } else if (const auto open = FindOpen(KeyOf(*target.identity, kind)); open != nullptr) {
    *loaded = *open;
    loaded->file->name = name;
    loaded->link_directory = root_.LinkDirectory(*open->file->file, directory);
    Finish(target, *loaded);
  } else {
    *loaded = TakeAhead(target);
  }
  if (loaded->file.ok()) open_.emplace(KeyOf(*loaded->identity, kind), loaded);
  loaded_.insert_or_assign(path, loaded);
  if (target.before != nullptr && FailedAlike(*target.before, *loaded)) return target.before;
  return loaded;
}

LoadedFile FileLoader::TakeAhead(const Target& target) {
  const auto found = ahead_.find(target.name);
  // It may have changed since.
  if (found == ahead_.end() || found->second.identity != *target.identity ||
      found->second.sum_file != target.sum_file) {
    return Open(target);
  }
  return std::move(ahead_.extract(found).mapped());
}

bool FileLoader::IsUpToDate(const RootDirectory::Listing& listing, const std::string& directory,
                            const std::string& name, const LoadedFile& loaded) const {
  if (loaded.sum_file != IdentifySumFile(listing, directory, name, loaded.kind)) return false;
  const absl::StatusOr<FileIdentity> identity = root_.Identify(listing, directory, name);
  return identity.ok() ? loaded.identity == *identity : !loaded.identity.has_value();
}

LoadedFile FileLoader::Open(const Target& target) const {
  LoadedFile loaded;
  loaded.identity = *target.identity;
  loaded.kind = target.kind;
  absl::StatusOr<std::shared_ptr<const MappedFile>> mapped = root_.MapFile(JoinPath(target.directory, target.name));
  if (mapped.ok()) {
    loaded.identity = (*mapped)->identity();
    loaded.link_directory = root_.LinkDirectory(**mapped, target.directory);
    loaded.file = Read(*std::move(mapped), target.name, target.kind, options_);
    if (loaded.file.ok() && target.kind == ModelFile::Kind::kSafetensors) loaded.sampled_digest = loaded.file->digest;
  } else {
    loaded.file = mapped.status();
  }
  Finish(target, loaded);
  return loaded;
}

void FileLoader::Finish(const Target& target, LoadedFile& loaded) const {
  loaded.sum_file = target.sum_file;
  loaded.try_again = false;
  if (loaded.kind == ModelFile::Kind::kSafetensors) {
    absl::Status status = loaded.file.status();
    if (status.ok() && options_.verify == Verify::kFull) status = VerifyKnownDigest(target, loaded);
    if (status.ok()) status = SetDigest(target, loaded);
    if (!status.ok()) {
      loaded.file = std::move(status);
      loaded.versions = target.versions;
    }
  }
  // Bad contents stay bad until they change.
  if (!loaded.file.ok() && !absl::IsDataLoss(loaded.file.status())) loaded.try_again = true;
}

absl::Status FileLoader::SetDigest(const Target& target, LoadedFile& loaded) const {
  const std::shared_ptr<const MappedFile>& file = loaded.file->file;
  absl::StatusOr<std::string> digest =
      DigestAfter(target.versions, *file, loaded.sampled_digest, loaded.sha256, options_.stop);
  if (!digest.ok()) return digest.status();
  loaded.file->digest = *digest;
  loaded.versions = AddVersion({file->identity(), loaded.sampled_digest, *std::move(digest), file}, target.versions);
  return absl::OkStatus();
}

absl::Status FileLoader::VerifyKnownDigest(const Target& target, LoadedFile& loaded) const {
  const MappedFile& file = *loaded.file->file;
  if (loaded.sha256.empty()) {
    absl::StatusOr<std::string> sha256 = Sha256Of(file, options_.stop);
    if (!sha256.ok()) return sha256.status();
    loaded.sha256 = *std::move(sha256);
  }
  std::string known;
  std::string source = Quote(SumFileOf(target.name));
  if (loaded.sum_file) {
    const absl::StatusOr<std::string> text = ReadSumFile(root_, JoinPath(target.directory, SumFileOf(target.name)));
    // Other errors than missing permissions may pass.
    if (!text.ok() && !absl::IsPermissionDenied(text.status())) loaded.try_again = true;
    if (text.ok()) known = DigestInSumFile(*text, target.name);
  }
  if (known.empty()) {
    known = DigestInBlobPath(RootDirectory::RealPath(file));
    source = "the name of its blob";
  }
  if (known.empty() || known == loaded.sha256) return absl::OkStatus();
  return absl::DataLossError(fmt::format("file {}: its SHA-256 is {}, but should be {} according to {}",
                                         Quote(file.path()), loaded.sha256, known, source));
}

}  // namespace tensorferry
