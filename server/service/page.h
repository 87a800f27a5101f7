// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_SERVICE_PAGE_H_
#define TENSORFERRY_SERVER_SERVICE_PAGE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tensorferry::server {

// One page of a list that is ordered by name. A page has a limit of items and of bytes. The next page begins after the
// last name, so that pages neither overlap nor skip names if the list changes in between.
class Page {
 public:
  // `page_size` is the limit of items; 0: the default. Errors: INVALID_ARGUMENT: a negative size, or a token that is
  // not from MakeToken().
  static absl::StatusOr<Page> Create(std::int32_t page_size, std::string_view page_token);

  // Returns true if the page begins at the start of the list.
  bool first() const { return first_; }
  // Returns the name after which the page begins, if it is not the first.
  const std::string& after() const { return after_; }
  // Returns the generation of the token, if it has one.
  const std::string& generation() const { return generation_; }
  bool full() const { return items_left_ == 0 || bytes_left_ <= 0; }
  void Add(std::size_t item_bytes);

  // Returns the token for the page after `last_name`. A generation is hexadecimal.
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
