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

// A pattern for whole names: `*` any run of characters, `?` any one, `[a-z]` and `[!a-z]` one of a set, `\` takes the
// next character as it is. Matching takes linear time whatever the pattern (it is RE2's, which gRPC brings along;
// fnmatch can take exponential time). Safe for concurrent use by multiple threads.
class Glob {
 public:
  // Errors: INVALID_ARGUMENT: a set that does not end, a trailing backslash, or a pattern over 1 KiB.
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
