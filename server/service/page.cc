// SPDX-License-Identifier: Apache-2.0
#include "server/service/page.h"

#include <fmt/format.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"

namespace tensorferry::server {
namespace {

// A token consists of this prefix, the generation, a colon and the name. Generation and name may be empty; without the
// prefix, the token would be that of the first page.
constexpr std::string_view kTokenPrefix = "after:";

}  // namespace

absl::StatusOr<Page> Page::Create(std::int32_t page_size, std::string_view page_token) {
  if (page_size < 0) return absl::InvalidArgumentError(fmt::format("page_size {} is negative", page_size));
  Page page;
  if (page_size > 0) page.items_left_ = std::min(page_size, kMaxItems);
  if (page_token.empty()) return page;
  std::string token;
  if (!absl::WebSafeBase64Unescape({page_token.data(), page_token.size()}, &token) ||
      !token.starts_with(kTokenPrefix)) {
    return absl::InvalidArgumentError("page_token is not a next_page_token of this server");
  }
  const std::size_t colon = token.find(':', kTokenPrefix.size());
  if (colon == std::string::npos)
    return absl::InvalidArgumentError("page_token is not a next_page_token of this server");
  page.first_ = false;
  page.generation_ = token.substr(kTokenPrefix.size(), colon - kTokenPrefix.size());
  page.after_ = token.substr(colon + 1);
  return page;
}

void Page::Add(std::size_t item_bytes) {
  --items_left_;
  bytes_left_ -= static_cast<std::int64_t>(item_bytes);
}

std::string Page::MakeToken(std::string_view last_name, std::string_view generation) {
  return absl::WebSafeBase64Escape(fmt::format("{}{}:{}", kTokenPrefix, generation, last_name));
}

}  // namespace tensorferry::server
