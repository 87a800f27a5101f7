// SPDX-License-Identifier: Apache-2.0
// The input is a token file.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/security/token_table.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using tensorferry::fuzz::Check;
  // A separate allocation, so that sanitizers detect reads beyond its end.
  const auto bytes = std::make_unique<char[]>(size);
  std::copy_n(data, size, bytes.get());
  const std::string_view text(bytes.get(), size);
  const absl::StatusOr<tensorferry::server::TokenTable> table = tensorferry::server::TokenTable::Parse(text);
  if (!table.ok()) {
    const std::string message(table.status().message());
    Check(table.status().code() == absl::StatusCode::kInvalidArgument, "refused with another code");
    // The text may be a token: messages consist of fixed words and numbers.
    Check(message.starts_with("the file is empty") || message.starts_with("line "), "an unknown message");
    Check(message.size() < 200, "a message that is so long may contain text of the file");
    return 0;
  }
  Check(table->size() <= 1'000, "more tokens than allowed");
  // Neither an empty text nor one that is shorter than any token is a token.
  Check(table->Find("") == nullptr, "an empty token is known");
  Check(table->Find(text.substr(0, std::min<std::size_t>(size, 15))) == nullptr, "a short token is known");
  return 0;
}
