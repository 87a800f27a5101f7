// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_TEXT_GLOB_H_
#define TENSORFERRY_LIB_TEXT_GLOB_H_

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"

namespace re2 {
class RE2;
}

namespace tensorferry {

// A pattern for whole names:
//   *                any run of characters, `/` and `.` included
//   ?                any one character
//   [a-z], [!a-z]    one character of a set, or one that is not in it
//   \                the next character, literally
//
// Matching is RE2's, so that it takes linear time for every pattern. fnmatch can take exponential time.
// Safe for concurrent use by multiple threads.
class Glob {
 public:
  // Errors: INVALID_ARGUMENT: a set without its closing bracket, a backslash at the end, a pattern over 1 KiB, or one
  // that is not UTF-8.
  static absl::StatusOr<Glob> Create(std::string_view pattern);

  Glob(Glob&&) noexcept;
  Glob& operator=(Glob&&) noexcept;
  ~Glob();

  bool Matches(std::string_view name) const;

 private:
  explicit Glob(std::unique_ptr<re2::RE2> regex);

  std::unique_ptr<re2::RE2> regex_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_TEXT_GLOB_H_
