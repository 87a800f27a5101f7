// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_CATALOG_FILE_LOADER_H_
#define TENSORFERRY_LIB_CATALOG_FILE_LOADER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>

#include "lib/catalog/load_options.h"
#include "lib/catalog/root_directory.h"
#include "lib/catalog/scanned_directory.h"
#include "tensorferry/safetensors/model.h"

namespace tensorferry {

// Opens, checks and digests the files of one scan. A file that an earlier scan opened and that has not changed since is
// not opened again, whatever its name is now. Not safe for concurrent use.
class FileLoader {
 public:
  // All three must outlive the loader.
  FileLoader(const RootDirectory& root, const LoadOptions& options, const ScannedDirectories& before)
      : root_(root), options_(options), before_(before) {}

  // The files of one directory, by name.
  using Files = std::map<std::string, ModelFile::Kind, std::less<>>;

  // Opens those of `files` that have to be opened, several at a time, for Load to return; it would open one after
  // another. `before` is the directory as the scan before found it, or null.
  void LoadAhead(const RootDirectory::Listing& listing, const std::string& directory, const Files& files,
                 const ScannedDirectory* before);

  // Returns the file `name` of a directory, which was listed as `directory`. `before` is the directory as the scan
  // before found it, or null; if nothing has changed, the same object as there is returned.
  std::shared_ptr<const LoadedFile> Load(const RootDirectory::Listing& listing, const std::string& directory,
                                         const std::string& name, ModelFile::Kind kind, const ScannedDirectory* before);

  // Returns true if the file, and the file that has its SHA-256, are what they were when `loaded` was loaded.
  bool IsUpToDate(const RootDirectory::Listing& listing, const std::string& directory, const std::string& name,
                  const LoadedFile& loaded) const;

  const RootDirectory& root() const { return root_; }
  const LoadOptions& options() const { return options_; }

 private:
  // Of LoadAhead, whatever the number of cores: there may be no memory for more headers at once.
  static constexpr std::size_t kMaxThreads = 16;

  using Key = std::tuple<std::uint64_t, std::uint64_t, std::int64_t, std::int64_t, ModelFile::Kind>;

  // A name, and what is found there.
  struct Target {
    const std::string& directory;
    const std::string& name;
    ModelFile::Kind kind = ModelFile::Kind::kCompanion;
    absl::StatusOr<FileIdentity> identity;
    // Of the .sha256 file, if it matters and there is one.
    std::optional<FileIdentity> sum_file;
    // The same name in the scan before, or null.
    std::shared_ptr<const LoadedFile> before = nullptr;
    // True if `before` can be used again.
    bool unchanged = false;
    // The versions of that name before this scan; only if it has changed.
    FileVersions versions = {};
  };

  static Key KeyOf(const FileIdentity& identity, ModelFile::Kind kind);
  Target FindTarget(const RootDirectory::Listing& listing, const std::string& directory, const std::string& name,
                    ModelFile::Kind kind, const ScannedDirectory* before) const;
  std::optional<FileIdentity> IdentifySumFile(const RootDirectory::Listing& listing, const std::string& directory,
                                              const std::string& name, ModelFile::Kind kind) const;
  // A file that is open already, of whatever name, or null.
  std::shared_ptr<const LoadedFile> FindOpen(const Key& key);
  // Returns what LoadAhead made of the target, or opens it.
  LoadedFile TakeAhead(const Target& target);
  // Opens the target.
  LoadedFile Open(const Target& target) const;
  // Does for a file that is open what depends on its name: verifies its known digest, and sets its digest and versions.
  void Finish(const Target& target, LoadedFile& loaded) const;
  absl::Status SetDigest(const Target& target, LoadedFile& loaded) const;
  // With Verify::kFull: refuses a file whose SHA-256 is known to be another one.
  absl::Status VerifyKnownDigest(const Target& target, LoadedFile& loaded) const;

  const RootDirectory& root_;
  const LoadOptions& options_;
  const ScannedDirectories& before_;
  // Of this scan and, once something was not where it was, of the one before.
  std::map<Key, std::shared_ptr<const LoadedFile>> open_;
  bool before_is_in_open_ = false;
  // Of this scan, by the path relative to the root: a directory that is loaded again need not compare its files again.
  std::map<std::string, std::shared_ptr<const LoadedFile>, std::less<>> loaded_;
  // Of the directory that is being loaded.
  std::map<std::string, LoadedFile, std::less<>> ahead_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CATALOG_FILE_LOADER_H_
