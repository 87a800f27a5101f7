// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_CATALOG_FILE_LOADER_H_
#define TENSORFERRY_LIB_CATALOG_FILE_LOADER_H_

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/catalog/load_options.h"
#include "lib/catalog/root_directory.h"
#include "lib/catalog/scanned_directory.h"
#include "tensorferry/safetensors/model.h"

namespace tensorferry {

// A file of a directory that is being scanned, with everything that is known of it before it is opened.
struct FileToLoad {
  // Relative to the root.
  std::string directory;
  // In the directory.
  std::string name;
  ModelFile::Kind kind = ModelFile::Kind::kCompanion;
  // The only stat of the name in this scan, or why there is none.
  absl::StatusOr<struct stat> stat;
  // Of the .sha256 file next to it, if it matters and there is one.
  std::optional<FileIdentity> sum_file = {};
  // The file that the scan before found under this name, or null.
  std::shared_ptr<const LoadedFile> before = nullptr;
  // The versions of this name before this scan.
  FileVersions versions = {};

  std::string path() const { return JoinPath(directory, name); }
};

// Opens, validates and digests the files of one scan. A file that an earlier scan opened and that has not changed since
// is not opened again, whatever its name is now. Not safe for concurrent use.
//
// Stats of a file in a scan: one of its name, and one of the descriptor after the file was read, if it was opened. The
// second shows that the file that was opened is the one that the first saw, and that its bytes were the same
// throughout.
class FileLoader {
 public:
  // All three must outlive the loader.
  FileLoader(const RootDirectory& root, const LoadOptions& options, const ScannedDirectories& before)
      : root_(root), options_(options), before_(before) {}

  // Takes a stat of the file `name` of a directory, which was listed as `directory`. `before` is the directory as the
  // scan before found it, or null.
  FileToLoad Find(const RootDirectory::Listing& listing, const std::string& directory, const std::string& name,
                  ModelFile::Kind kind, const ScannedDirectory* before) const;

  // Loads the files of one directory. Opens several at a time. A file that has not changed since the scan before is the
  // same object as there.
  LoadedFiles Load(const std::vector<FileToLoad>& files);

  // Returns false if a file that the last Load returned may not have been there together with the others. `listing`
  // must have been taken after that Load.
  //
  // A file that was opened as it had been found was there from then until then, and all are found before the first is
  // opened: no further stat. A file that was not opened takes one, and so do all if one of them was replaced meanwhile.
  bool IsUpToDate(const RootDirectory::Listing& listing, const std::string& directory, const std::string& name,
                  const LoadedFile& loaded) const;

  const RootDirectory& root() const { return root_; }
  const LoadOptions& options() const { return options_; }

 private:
  // Of Load, regardless of the number of cores: there may be no memory for more headers at once.
  static constexpr std::size_t kMaxThreads = 16;

  using Key = std::tuple<std::uint64_t, std::uint64_t, std::int64_t, std::int64_t, ModelFile::Kind>;

  static Key KeyOf(const FileIdentity& identity, ModelFile::Kind kind);
  std::optional<FileIdentity> IdentifySumFile(const RootDirectory::Listing& listing, const std::string& directory,
                                              const std::string& name, ModelFile::Kind kind) const;
  // Returns the file as this scan, or the one before, loaded it under this name; null if it has to be loaded.
  std::shared_ptr<const LoadedFile> FindLoaded(const FileToLoad& file) const;
  // Returns a file that is open already, under any name, or null.
  std::shared_ptr<const LoadedFile> FindOpen(const Key& key);
  // Opens those of `files` that have to be opened. The result is parallel to `files`.
  std::vector<std::optional<LoadedFile>> OpenNew(const std::vector<FileToLoad>& files);
  LoadedFile Open(const FileToLoad& file) const;
  // `opened` is the result of OpenNew for the file.
  std::shared_ptr<const LoadedFile> LoadChanged(const FileToLoad& file, std::optional<LoadedFile> opened);
  // Does the steps that depend on an open file's name: verifies its known digest, and sets its digest and versions.
  void Finish(const FileToLoad& file, LoadedFile& loaded) const;
  absl::Status SetDigest(const FileToLoad& file, LoadedFile& loaded) const;
  // With Verify::kFull: refuses a file whose known SHA-256 is another one.
  absl::Status VerifyKnownDigest(const FileToLoad& file, LoadedFile& loaded) const;

  const RootDirectory& root_;
  const LoadOptions& options_;
  const ScannedDirectories& before_;
  // Of this scan and, as soon as a file has changed, of the one before.
  std::map<Key, std::shared_ptr<const LoadedFile>> open_;
  bool before_is_in_open_ = false;
  // Of this scan, by the path relative to the root. If a directory is loaded again, its files are not.
  std::map<std::string, std::shared_ptr<const LoadedFile>, std::less<>> loaded_;
  // Of the last Load: the files that it opened, and true if none of them was replaced after Find.
  std::set<const LoadedFile*> opened_;
  bool all_as_found_ = true;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CATALOG_FILE_LOADER_H_
