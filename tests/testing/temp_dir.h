// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_TESTING_TEMP_DIR_H_
#define TENSORFERRY_TESTS_TESTING_TEMP_DIR_H_

#include <string>
#include <string_view>
#include <vector>

namespace tensorferry::test {

// An empty directory that is removed, with all that is in it, with this object. Names are relative to it; the folders
// on the way are made. What cannot be done ends the test program: it is no subject of any test.
class TempDir {
 public:
  TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir();

  const std::string& path() const { return path_; }
  std::string Path(std::string_view name) const;

  // Each returns the path of what it made.
  std::string Write(std::string_view name, std::string_view bytes) const;
  std::string MakeFolder(std::string_view name) const;
  std::string MakeLink(std::string_view name, std::string_view target) const;
  std::string MakeFifo(std::string_view name) const;
  std::string MakeSocket(std::string_view name) const;

  std::string Read(std::string_view name) const;
  // The names of all entries of the folder, hidden ones too, in order.
  std::vector<std::string> List(std::string_view name = ".") const;

 private:
  std::string path_;
};

}  // namespace tensorferry::test

#endif  // TENSORFERRY_TESTS_TESTING_TEMP_DIR_H_
