// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_SERVICE_PAGE_H_
#define TENSORFERRY_SERVER_SERVICE_PAGE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tensorferry::server {

// One page of a list that is ordered by name. A page ends after so many items or bytes, whichever comes first; the next
// one begins behind the last name, so that pages neither overlap nor skip when the list changes in between.
class Page {
 public:
  // Errors: INVALID_ARGUMENT: a negative size, or a token that MakeToken did not make.
  static absl::StatusOr<Page> Create(std::int32_t page_size, std::string_view page_token);

  // Whether the list continues from the start.
  bool first() const { return first_; }
  // The name behind which the page begins, if it is not the first.
  const std::string& after() const { return after_; }
  // The generation that the token was made with, if any.
  const std::string& generation() const { return generation_; }
  bool full() const { return items_left_ == 0 || bytes_left_ <= 0; }
  void Add(std::size_t item_bytes);

  // The token for the page behind `last_name`. A generation is hexadecimal.
  static std::string MakeToken(std::string_view last_name, std::string_view generation = {});

 private:
  static constexpr std::int32_t kDefaultItems = 1'000;
  static constexpr std::int32_t kMaxItems = 10'000;
  // A page stays well under the 4 MiB that gRPC clients accept.
  static constexpr std::int64_t kMaxBytes = 1 << 20;

  bool first_ = true;
  std::string after_;
  std::string generation_;
  std::int32_t items_left_ = kDefaultItems;
  std::int64_t bytes_left_ = kMaxBytes;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_SERVICE_PAGE_H_
