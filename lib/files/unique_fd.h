// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_FILES_UNIQUE_FD_H_
#define TENSORFERRY_LIB_FILES_UNIQUE_FD_H_

#include <unistd.h>

#include <utility>

namespace tensorferry {

// Owns a file descriptor and closes it in the destructor. Not safe for concurrent use.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~UniqueFd() {
    if (fd_ >= 0) ::close(fd_);
  }

  bool ok() const { return fd_ >= 0; }
  int get() const { return fd_; }
  // Returns the descriptor without closing it; the caller owns it.
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_FILES_UNIQUE_FD_H_
