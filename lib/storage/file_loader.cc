// SPDX-License-Identifier: Apache-2.0
#include "lib/storage/file_loader.h"

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
#include "lib/storage/fingerprint.h"
#include "lib/storage/known_digest.h"
#include "tensorferry/files/file_io.h"
#include "tensorferry/quote.h"
#include "tensorferry/storage/safetensors_file.h"

namespace tensorferry {
namespace {

absl::StatusOr<ModelFile> Read(std::shared_ptr<const MappedFile> mapped, const std::string& name, ModelFile::Kind kind,
                               const LoadOptions& options) {
  ModelFile file{.name = name, .kind = kind, .fingerprint = {}, .file = std::move(mapped), .tensors = nullptr};
  absl::StatusOr<std::string> fingerprint;
  if (kind == ModelFile::Kind::kSafetensors) {
    absl::StatusOr<std::shared_ptr<const SafetensorsFile>> tensors = SafetensorsFile::Create(file.file, options.limits);
    if (!tensors.ok()) return tensors.status();
    file.tensors = *std::move(tensors);
  }
  if (kind == ModelFile::Kind::kSafetensors && options.fingerprint == FingerprintMode::kSampled) {
    fingerprint = SampledFingerprint(*file.tensors);
  } else {
    fingerprint = FullFingerprint(*file.file, options.stop);
  }
  if (!fingerprint.ok()) return fingerprint.status();
  file.fingerprint = *std::move(fingerprint);
  // The header and the fingerprint must be of the same bytes.
  if (!file.file->CheckUnchanged().ok()) {
    return absl::AbortedError(fmt::format("file {} changed while it was loaded", Quote(file.file->path())));
  }
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

bool FailedAlike(const LoadedFile& a, const LoadedFile& b) {
  return !a.file.ok() && a.identity == b.identity && a.sum_file == b.sum_file && a.kind == b.kind &&
         a.file.status() == b.file.status();
}

}  // namespace

FileLoader::Key FileLoader::KeyOf(const FileIdentity& identity, ModelFile::Kind kind) {
  return {identity.device, identity.inode, identity.size_bytes, identity.modified_ns, kind};
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

std::shared_ptr<const LoadedFile> FileLoader::Load(const RootDirectory::Listing& listing, const std::string& directory,
                                                   const std::string& name, ModelFile::Kind kind,
                                                   const std::shared_ptr<const LoadedFile>& before) {
  const absl::StatusOr<FileIdentity> identity = root_.Identify(listing, directory, name);
  const std::optional<FileIdentity> sum_file = IdentifySumFile(listing, directory, name, kind);
  if (before != nullptr && identity.ok() && before->identity == *identity && before->sum_file == sum_file &&
      !before->try_again && !IsDamaged(*before)) {
    return before;
  }
  auto loaded = std::make_shared<LoadedFile>();
  if (!identity.ok()) {
    loaded->kind = kind;
    loaded->file = identity.status();
    loaded->try_again = true;
  } else if (const auto open = FindOpen(KeyOf(*identity, kind)); open != nullptr) {
    *loaded = *open;
    loaded->file->name = name;
    loaded->link_directory = root_.LinkDirectory(*open->file->file, directory);
  } else {
    *loaded = TakeAhead(directory, name, kind, *identity);
  }
  loaded->sum_file = sum_file;
  if (kind == ModelFile::Kind::kSafetensors && loaded->file.ok()) AddKnownDigest(directory, name, *loaded);
  if (loaded->file.ok()) open_.emplace(KeyOf(*loaded->identity, kind), loaded);
  if (before != nullptr && FailedAlike(*before, *loaded)) return before;
  return loaded;
}

void FileLoader::LoadAhead(const RootDirectory::Listing& listing, const std::string& directory, const Files& files,
                           const LoadedFiles& before) {
  struct Task {
    const std::string* name = nullptr;
    ModelFile::Kind kind = ModelFile::Kind::kCompanion;
    FileIdentity identity;
    std::optional<LoadedFile> loaded = {};
  };
  std::vector<Task> tasks;
  std::set<Key> keys;
  for (const auto& [name, kind] : files) {
    const absl::StatusOr<FileIdentity> identity = root_.Identify(listing, directory, name);
    if (!identity.ok()) continue;
    const auto known = before.find(name);
    if (known != before.end() && known->second->identity == *identity) continue;
    // Several names may lead to one file.
    const Key key = KeyOf(*identity, kind);
    if (FindOpen(key) == nullptr && keys.insert(key).second) tasks.push_back({&name, kind, *identity});
  }
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < tasks.size(); i = next++) {
      tasks[i].loaded = LoadAnew(directory, *tasks[i].name, tasks[i].kind, tasks[i].identity);
    }
  };
  {
    std::vector<std::jthread> threads;
    const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
    for (std::size_t i = 1; i < std::min({cores, kMaxThreads, tasks.size()}); ++i) threads.emplace_back(work);
    work();
  }
  ahead_.clear();
  for (Task& task : tasks) ahead_.emplace(*task.name, *std::move(task.loaded));
}

LoadedFile FileLoader::TakeAhead(const std::string& directory, const std::string& name, ModelFile::Kind kind,
                                 const FileIdentity& identity) {
  const auto found = ahead_.find(name);
  // It may have changed since.
  if (found == ahead_.end() || found->second.identity != identity) return LoadAnew(directory, name, kind, identity);
  return std::move(ahead_.extract(found).mapped());
}

bool FileLoader::IsUpToDate(const RootDirectory::Listing& listing, const std::string& directory,
                            const std::string& name, const LoadedFile& loaded) const {
  if (loaded.sum_file != IdentifySumFile(listing, directory, name, loaded.kind)) return false;
  const absl::StatusOr<FileIdentity> identity = root_.Identify(listing, directory, name);
  return identity.ok() ? loaded.identity == *identity : !loaded.identity.has_value();
}

std::optional<FileIdentity> FileLoader::IdentifySumFile(const RootDirectory::Listing& listing,
                                                        const std::string& directory, const std::string& name,
                                                        ModelFile::Kind kind) const {
  if (kind != ModelFile::Kind::kSafetensors) return std::nullopt;
  const std::string sum_name = SumFileOf(name);
  if (!std::ranges::binary_search(listing.files, sum_name)) return std::nullopt;
  const absl::StatusOr<FileIdentity> identity = root_.Identify(listing, directory, sum_name);
  return identity.ok() ? std::optional(*identity) : std::nullopt;
}

void FileLoader::AddKnownDigest(const std::string& directory, const std::string& name, LoadedFile& loaded) const {
  std::string known;
  if (loaded.sum_file) {
    const absl::StatusOr<std::string> text = ReadSumFile(root_, JoinPath(directory, SumFileOf(name)));
    // What may pass does; what is not to be read stays so until it changes.
    if (!text.ok() && !absl::IsPermissionDenied(text.status())) loaded.try_again = true;
    if (text.ok()) known = DigestInSumFile(*text, name);
  }
  if (known.empty()) known = DigestInBlobPath(RootDirectory::RealPath(*loaded.file->file));
  if (options_.fingerprint == FingerprintMode::kSampled) {
    loaded.file->fingerprint = WithKnownDigest(loaded.own_fingerprint, known);
  } else if (!known.empty() && loaded.own_fingerprint != "sha256:" + known) {
    loaded.file = absl::DataLossError(fmt::format("file {}: its fingerprint is {}, but its SHA-256 should be {}",
                                                  Quote(loaded.file->file->path()), loaded.own_fingerprint, known));
  }
}

LoadedFile FileLoader::LoadAnew(const std::string& directory, const std::string& name, ModelFile::Kind kind,
                                const FileIdentity& identity) const {
  LoadedFile loaded;
  loaded.identity = identity;
  loaded.kind = kind;
  loaded.try_again = true;
  absl::StatusOr<std::shared_ptr<const MappedFile>> mapped = root_.MapFile(JoinPath(directory, name));
  if (!mapped.ok()) {
    loaded.file = mapped.status();
    return loaded;
  }
  loaded.identity = (*mapped)->identity();
  loaded.link_directory = root_.LinkDirectory(**mapped, directory);
  loaded.file = Read(*std::move(mapped), name, kind, options_);
  if (loaded.file.ok()) loaded.own_fingerprint = loaded.file->fingerprint;
  // What is wrong with the contents stays wrong until they change.
  loaded.try_again = !loaded.file.ok() && !absl::IsDataLoss(loaded.file.status());
  return loaded;
}

}  // namespace tensorferry
