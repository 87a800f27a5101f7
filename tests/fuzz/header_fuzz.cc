// SPDX-License-Identifier: Apache-2.0
// The input is a whole safetensors file.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/text/quote.h"
#include "tensorferry/safetensors/header.h"
#include "tests/fuzz/check.h"
#include "tests/lib/safetensors/parse_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using tensorferry::fuzz::Check;
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  const std::string different = tensorferry::test::ReadersDiffer(file);
  Check(different.empty(), different);
  const absl::StatusOr<tensorferry::safetensors::Header> header = tensorferry::test::ParseFile(file);
  if (!header.ok()) {
    const std::string message(header.status().message());
    Check(header.status().code() == absl::StatusCode::kDataLoss, "refused with another code than DATA_LOSS");
    Check(!message.empty() && tensorferry::IsValidUtf8(message), "the message is empty or not UTF-8");
    return 0;
  }
  const std::string broken = tensorferry::test::BrokenInvariant(*header);
  Check(broken.empty(), broken);
  for (const auto& [key, value] : header->metadata()) {
    Check(tensorferry::IsValidUtf8(key) && tensorferry::IsValidUtf8(value), "metadata is not UTF-8");
  }
  return 0;
}
