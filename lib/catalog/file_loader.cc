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
#include "lib/files/file_identity.h"
#include "lib/files/file_io.h"
#include "lib/text/quote.h"
#include "tensorferry/safetensors/file.h"

namespace tensorferry {
namespace {

// Reads a file to serve. The header and the digest are of the same bytes: those that the file had when it was mapped.
absl::StatusOr<ModelFile> Read(std::shared_ptr<const MappedFile> mapped, const FileToLoad& file,
                               const LoadOptions& options) {
  ModelFile read{.name = file.name, .kind = file.kind, .digest = {}, .file = std::move(mapped), .tensors = nullptr};
  if (file.kind != ModelFile::Kind::kSafetensors) {
    const absl::StatusOr<std::string> sha256 = Sha256Of(*read.file, options.stop);
    if (!sha256.ok()) return sha256.status();
    read.digest = "sha256:" + *sha256;
    return read;
  }
  absl::StatusOr<std::shared_ptr<const SafetensorsFile>> tensors = SafetensorsFile::Create(read.file, options.limits);
  if (!tensors.ok()) return tensors.status();
  read.tensors = *std::move(tensors);
  absl::StatusOr<std::string> digest = SampledDigest(*read.tensors);
  if (!digest.ok()) return digest.status();
  read.digest = *std::move(digest);
  if (absl::Status status = CheckUnchangedInLoad(*read.file); !status.ok()) return status;
  return read;
}

// Returns the text of a .sha256 file; empty if it is too large to be one. Errors: those of reading it.
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

// Returns true if loading `file` again would give `loaded`.
bool IsCurrent(const LoadedFile& loaded, const FileToLoad& file) {
  return file.stat.ok() && loaded.identity == IdentityOf(*file.stat) && loaded.sum_file == file.sum_file &&
         !loaded.try_again && !IsDamaged(loaded);
}

bool FailedAlike(const LoadedFile& a, const LoadedFile& b) {
  return !a.file.ok() && a.identity == b.identity && a.sum_file == b.sum_file && a.kind == b.kind &&
         a.file.status() == b.file.status();
}

}  // namespace

FileLoader::Key FileLoader::KeyOf(const FileIdentity& identity, ModelFile::Kind kind) {
  return {identity.device, identity.inode, identity.size_bytes, identity.modified_ns, kind};
}

FileToLoad FileLoader::Find(const RootDirectory::Listing& listing, const std::string& directory,
                            const std::string& name, ModelFile::Kind kind, const ScannedDirectory* before) const {
  FileToLoad file{.directory = directory,
                  .name = name,
                  .kind = kind,
                  .stat = root_.Stat(listing, directory, name),
                  .sum_file = IdentifySumFile(listing, directory, name, kind)};
  if (before == nullptr) return file;
  if (const auto found = before->files.find(name); found != before->files.end()) {
    file.before = found->second;
    if (!IsCurrent(*file.before, file)) file.versions = OpenVersions(file.before->versions, 1);
  } else if (const auto gone = before->gone.find(name); gone != before->gone.end()) {
    file.versions = OpenVersions(gone->second, 0);
  }
  return file;
}

std::optional<FileIdentity> FileLoader::IdentifySumFile(const RootDirectory::Listing& listing,
                                                        const std::string& directory, const std::string& name,
                                                        ModelFile::Kind kind) const {
  if (options_.verify != Verify::kFull || kind != ModelFile::Kind::kSafetensors) return std::nullopt;
  const std::string sum_name = SumFileOf(name);
  if (!std::ranges::binary_search(listing.files, sum_name)) return std::nullopt;
  const absl::StatusOr<struct stat> stat = root_.Stat(listing, directory, sum_name);
  return stat.ok() ? std::optional(IdentityOf(*stat)) : std::nullopt;
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

std::shared_ptr<const LoadedFile> FileLoader::FindLoaded(const FileToLoad& file) const {
  if (file.before != nullptr && IsCurrent(*file.before, file)) return file.before;
  const auto found = loaded_.find(file.path());
  return found != loaded_.end() && IsCurrent(*found->second, file) ? found->second : nullptr;
}

std::vector<std::optional<LoadedFile>> FileLoader::OpenNew(const std::vector<FileToLoad>& files) {
  std::vector<std::size_t> to_open;
  std::set<Key> keys;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const FileToLoad& file = files[i];
    if (!file.stat.ok() || FindLoaded(file) != nullptr) continue;
    // Several names may lead to one file.
    const Key key = KeyOf(IdentityOf(*file.stat), file.kind);
    if (FindOpen(key) == nullptr && keys.insert(key).second) to_open.push_back(i);
  }
  std::vector<std::optional<LoadedFile>> opened(files.size());
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < to_open.size(); i = next++) opened[to_open[i]] = Open(files[to_open[i]]);
  };
  std::vector<std::jthread> threads;
  const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
  for (std::size_t i = 1; i < std::min({cores, kMaxThreads, to_open.size()}); ++i) threads.emplace_back(work);
  work();
  threads.clear();
  return opened;
}

LoadedFiles FileLoader::Load(const std::vector<FileToLoad>& files) {
  opened_.clear();
  all_as_found_ = true;
  std::vector<std::optional<LoadedFile>> opened = OpenNew(files);
  LoadedFiles all;
  for (std::size_t i = 0; i < files.size(); ++i) {
    std::shared_ptr<const LoadedFile> loaded = FindLoaded(files[i]);
    if (loaded == nullptr) loaded = LoadChanged(files[i], std::move(opened[i]));
    all.emplace_hint(all.end(), files[i].name, std::move(loaded));
  }
  return all;
}

std::shared_ptr<const LoadedFile> FileLoader::LoadChanged(const FileToLoad& file, std::optional<LoadedFile> opened) {
  auto loaded = std::make_shared<LoadedFile>();
  if (!file.stat.ok()) {
    loaded->kind = file.kind;
    loaded->file = file.stat.status();
    Finish(file, *loaded);
  } else if (opened) {
    *loaded = *std::move(opened);
    if (loaded->file.ok()) opened_.insert(loaded.get());
  } else if (const auto open = FindOpen(KeyOf(IdentityOf(*file.stat), file.kind)); open != nullptr) {
    *loaded = *open;
    loaded->file->name = file.name;
    loaded->link_directory = root_.LinkDirectory(*open->file->file, file.directory);
    Finish(file, *loaded);
  } else {
    // Another name of a file that could not be loaded.
    *loaded = Open(file);
  }
  if (file.stat.ok() && loaded->identity != IdentityOf(*file.stat)) all_as_found_ = false;
  if (loaded->file.ok()) open_.emplace(KeyOf(*loaded->identity, file.kind), loaded);
  loaded_.insert_or_assign(file.path(), loaded);
  if (file.before != nullptr && FailedAlike(*file.before, *loaded)) return file.before;
  return loaded;
}

bool FileLoader::IsUpToDate(const RootDirectory::Listing& listing, const std::string& directory,
                            const std::string& name, const LoadedFile& loaded) const {
  if (loaded.sum_file != IdentifySumFile(listing, directory, name, loaded.kind)) return false;
  // The name led to the file when it was found, and still when it was opened: after all others had been found.
  if (all_as_found_ && opened_.contains(&loaded)) return true;
  const absl::StatusOr<struct stat> stat = root_.Stat(listing, directory, name);
  return stat.ok() ? loaded.identity == IdentityOf(*stat) : !loaded.identity.has_value();
}

LoadedFile FileLoader::Open(const FileToLoad& file) const {
  LoadedFile loaded;
  loaded.identity = IdentityOf(*file.stat);
  loaded.kind = file.kind;
  // The first attempt expects the file that was found. If that has been replaced or written to since, the second one
  // loads what is there now.
  for (const struct stat* known : {&*file.stat, static_cast<const struct stat*>(nullptr)}) {
    absl::StatusOr<std::shared_ptr<const MappedFile>> mapped = root_.MapFile(file.path(), known);
    if (!mapped.ok()) {
      loaded.file = mapped.status();
      continue;
    }
    loaded.identity = (*mapped)->identity();
    loaded.link_directory = root_.LinkDirectory(**mapped, file.directory);
    loaded.file = Read(*mapped, file, options_);
    if (loaded.file.ok() || (*mapped)->CheckUnchanged().ok()) break;
  }
  if (loaded.file.ok() && file.kind == ModelFile::Kind::kSafetensors) loaded.sampled_digest = loaded.file->digest;
  Finish(file, loaded);
  return loaded;
}

void FileLoader::Finish(const FileToLoad& file, LoadedFile& loaded) const {
  loaded.sum_file = file.sum_file;
  loaded.try_again = false;
  if (loaded.kind == ModelFile::Kind::kSafetensors) {
    absl::Status status = loaded.file.status();
    if (status.ok() && options_.verify == Verify::kFull) status = VerifyKnownDigest(file, loaded);
    if (status.ok()) status = SetDigest(file, loaded);
    if (!status.ok()) {
      loaded.file = std::move(status);
      loaded.versions = file.versions;
    }
  }
  // Bad contents stay bad until they change.
  if (!loaded.file.ok() && !absl::IsDataLoss(loaded.file.status())) loaded.try_again = true;
}

absl::Status FileLoader::SetDigest(const FileToLoad& file, LoadedFile& loaded) const {
  const std::shared_ptr<const MappedFile>& mapped = loaded.file->file;
  absl::StatusOr<std::string> digest =
      DigestAfter(file.versions, *mapped, loaded.sampled_digest, loaded.sha256, options_.stop);
  if (!digest.ok()) return digest.status();
  loaded.file->digest = *digest;
  loaded.versions = AddVersion({mapped->identity(), loaded.sampled_digest, *std::move(digest), mapped}, file.versions);
  return absl::OkStatus();
}

absl::Status FileLoader::VerifyKnownDigest(const FileToLoad& file, LoadedFile& loaded) const {
  const MappedFile& mapped = *loaded.file->file;
  if (loaded.sha256.empty()) {
    absl::StatusOr<std::string> sha256 = Sha256Of(mapped, options_.stop);
    if (!sha256.ok()) return sha256.status();
    loaded.sha256 = *std::move(sha256);
  }
  std::string known;
  std::string source = Quote(SumFileOf(file.name));
  if (loaded.sum_file) {
    const absl::StatusOr<std::string> text = ReadSumFile(root_, SumFileOf(file.path()));
    // Other errors than missing permissions may pass.
    if (!text.ok() && !absl::IsPermissionDenied(text.status())) loaded.try_again = true;
    if (text.ok()) known = DigestInSumFile(*text, file.name);
  }
  if (known.empty()) {
    known = DigestInBlobPath(RootDirectory::RealPath(mapped));
    source = "the name of its blob";
  }
  if (known.empty() || known == loaded.sha256) return absl::OkStatus();
  return absl::DataLossError(fmt::format("file {}: its SHA-256 is {}, but should be {} according to {}",
                                         Quote(mapped.path()), loaded.sha256, known, source));
}

}  // namespace tensorferry
