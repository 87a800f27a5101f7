// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_TESTING_TEMP_DIR_H_
#define TENSORFERRY_TESTS_TESTING_TEMP_DIR_H_

#include <string>
#include <string_view>
#include <vector>

namespace tensorferry::test {

// An empty directory, which is removed with its contents when this object is destroyed. Names are relative to it.
// Parent folders are made as needed. A failure ends the test program.
class TempDir {
 public:
  TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir();

  const std::string& path() const { return path_; }
  std::string Path(std::string_view name) const;

  // Each of these returns the path that it made.
  std::string Write(std::string_view name, std::string_view bytes) const;
  std::string MakeFolder(std::string_view name) const;
  std::string MakeLink(std::string_view name, std::string_view target) const;
  std::string MakeFifo(std::string_view name) const;
  std::string MakeSocket(std::string_view name) const;

  std::string Read(std::string_view name) const;
  // Returns the names of all entries of the folder in order, including hidden ones.
  std::vector<std::string> List(std::string_view name = ".") const;

 private:
  std::string path_;
};

}  // namespace tensorferry::test

#endif  // TENSORFERRY_TESTS_TESTING_TEMP_DIR_H_
