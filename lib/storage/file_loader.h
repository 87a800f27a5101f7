// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_STORAGE_FILE_LOADER_H_
#define TENSORFERRY_LIB_STORAGE_FILE_LOADER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>

#include "lib/storage/root_directory.h"
#include "lib/storage/scanned_directory.h"
#include "tensorferry/storage/load_options.h"
#include "tensorferry/storage/model.h"

namespace tensorferry {

// Opens, checks and fingerprints the files of one scan; what an earlier scan opened and what has not changed since is
// taken over instead, under whatever name it has now. Not safe for concurrent use.
class FileLoader {
 public:
  // All three must outlive the loader.
  FileLoader(const RootDirectory& root, const LoadOptions& options, const ScannedDirectories& before)
      : root_(root), options_(options), before_(before) {}

  // The files of one directory, by name.
  using Files = std::map<std::string, ModelFile::Kind, std::less<>>;

  // Opens those of `files` that have to be opened, several at a time, for Load to return; it would open one after
  // another. `before` is what came of the directory's files in the scan before.
  void LoadAhead(const RootDirectory::Listing& listing, const std::string& directory, const Files& files,
                 const LoadedFiles& before);

  // The file `name` of a directory, which was listed as `directory`. `before` is what came of it in the scan before, if
  // it was there; if nothing has changed that same object is returned.
  std::shared_ptr<const LoadedFile> Load(const RootDirectory::Listing& listing, const std::string& directory,
                                         const std::string& name, ModelFile::Kind kind,
                                         const std::shared_ptr<const LoadedFile>& before);

  // Whether the file, and what says what its digest is, are what they were when `loaded` was.
  bool IsUpToDate(const RootDirectory::Listing& listing, const std::string& directory, const std::string& name,
                  const LoadedFile& loaded) const;

  const RootDirectory& root() const { return root_; }
  const LoadOptions& options() const { return options_; }

 private:
  // Of LoadAhead, whatever the number of cores: there may be no memory for more headers at once.
  static constexpr std::size_t kMaxThreads = 16;

  using Key = std::tuple<std::uint64_t, std::uint64_t, std::int64_t, std::int64_t, ModelFile::Kind>;

  static Key KeyOf(const FileIdentity& identity, ModelFile::Kind kind);
  // A file that is open already, of whatever name, or null.
  std::shared_ptr<const LoadedFile> FindOpen(const Key& key);
  // What LoadAhead has made of it, or opens it.
  LoadedFile TakeAhead(const std::string& directory, const std::string& name, ModelFile::Kind kind,
                       const FileIdentity& identity);
  // What the .sha256 file beside a file is, if there is one.
  std::optional<FileIdentity> IdentifySumFile(const RootDirectory::Listing& listing, const std::string& directory,
                                              const std::string& name, ModelFile::Kind kind) const;
  // Has what is known of a file's digest take part in its fingerprint, or be what the fingerprint must agree with.
  void AddKnownDigest(const std::string& directory, const std::string& name, LoadedFile& loaded) const;
  // Opens it.
  LoadedFile LoadAnew(const std::string& directory, const std::string& name, ModelFile::Kind kind,
                      const FileIdentity& identity) const;

  const RootDirectory& root_;
  const LoadOptions& options_;
  const ScannedDirectories& before_;
  // Of this scan and, once something was not where it was, of the one before.
  std::map<Key, std::shared_ptr<const LoadedFile>> open_;
  bool before_is_in_open_ = false;
  // Of the directory that is being loaded.
  std::map<std::string, LoadedFile, std::less<>> ahead_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_STORAGE_FILE_LOADER_H_
