// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/temp_dir.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

namespace tensorferry::test {
namespace {

// Ends the program unless `what`, the success of a system call or stream, is true.
void Must(bool what, const std::string& action) {
  if (what) return;
  std::fprintf(stderr, "test fixture: cannot %s: %s\n", action.c_str(), std::strerror(errno));
  std::abort();
}

void MakeParents(const std::string& path) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
}

}  // namespace

TempDir::TempDir() {
  std::string path = (std::filesystem::temp_directory_path() / "tensorferry_test.XXXXXX").string();
  Must(::mkdtemp(path.data()) != nullptr, "make a directory like " + path);
  path_ = std::filesystem::canonical(path).string();
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TempDir::Path(std::string_view name) const { return path_ + '/' + std::string(name); }

std::string TempDir::Write(std::string_view name, std::string_view bytes) const {
  const std::string path = Path(name);
  MakeParents(path);
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  Must(out.good(), "write " + path);
  return path;
}

std::string TempDir::MakeFolder(std::string_view name) const {
  const std::string path = Path(name);
  std::filesystem::create_directories(path);
  return path;
}

std::string TempDir::MakeLink(std::string_view name, std::string_view target) const {
  const std::string path = Path(name);
  MakeParents(path);
  Must(::symlink(std::string(target).c_str(), path.c_str()) == 0, "link " + path);
  return path;
}

std::string TempDir::MakeFifo(std::string_view name) const {
  const std::string path = Path(name);
  MakeParents(path);
  Must(::mkfifo(path.c_str(), 0600) == 0, "make the fifo " + path);
  return path;
}

std::string TempDir::MakeSocket(std::string_view name) const {
  const std::string path = Path(name);
  MakeParents(path);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  Must(path.size() < sizeof(address.sun_path), "fit into a socket address: " + path);
  std::memcpy(address.sun_path, path.c_str(), path.size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  Must(fd >= 0 && ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0, "bind " + path);
  ::close(fd);
  return path;
}

std::string TempDir::Read(std::string_view name) const {
  std::ifstream in(Path(name), std::ios::binary);
  Must(in.good(), "read " + Path(name));
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::vector<std::string> TempDir::List(std::string_view name) const {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(Path(name))) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace tensorferry::test
