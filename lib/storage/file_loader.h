// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_STORAGE_FILE_LOADER_H_
#define TENSORFERRY_LIB_STORAGE_FILE_LOADER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>

#include "lib/storage/root_directory.h"
#include "lib/storage/scanned_directory.h"
#include "tensorferry/safetensors/header.h"
#include "tensorferry/storage/model.h"

namespace tensorferry {

// Opens, checks and fingerprints the files of one scan; what an earlier scan opened and what has not changed since is
// taken over instead, under whatever name it has now. Not safe for concurrent use.
class FileLoader {
 public:
  // All three must outlive the loader.
  FileLoader(const RootDirectory& root, const safetensors::Limits& limits, const ScannedDirectories& before)
      : root_(root), limits_(limits), before_(before) {}

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

  const RootDirectory& root() const { return root_; }
  const safetensors::Limits& limits() const { return limits_; }

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
  // Opens it.
  LoadedFile LoadAnew(const std::string& directory, const std::string& name, ModelFile::Kind kind,
                      const FileIdentity& identity) const;

  const RootDirectory& root_;
  const safetensors::Limits& limits_;
  const ScannedDirectories& before_;
  // Of this scan and, once something was not where it was, of the one before.
  std::map<Key, std::shared_ptr<const LoadedFile>> open_;
  bool before_is_in_open_ = false;
  // Of the directory that is being loaded.
  std::map<std::string, LoadedFile, std::less<>> ahead_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_STORAGE_FILE_LOADER_H_
