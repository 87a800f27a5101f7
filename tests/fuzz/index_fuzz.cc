// SPDX-License-Identifier: Apache-2.0
// The input is an index.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "lib/text/quote.h"
#include "tensorferry/safetensors/index.h"
#include "tests/fuzz/check.h"
#include "tests/lib/safetensors/parse_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using tensorferry::fuzz::Check;
  // A separate allocation, so that a sanitizer detects reads after its end.
  const auto json = std::make_unique<char[]>(size);
  std::copy_n(data, size, json.get());
  const absl::StatusOr<tensorferry::safetensors::WeightMap> map =
      tensorferry::safetensors::ParseIndex({json.get(), size});
  if (!map.ok()) {
    const std::string message(map.status().message());
    Check(map.status().code() == absl::StatusCode::kDataLoss, "refused with another code than DATA_LOSS");
    Check(!message.empty() && tensorferry::IsValidUtf8(message), "the message is empty or not UTF-8");
    return 0;
  }
  const std::string broken = tensorferry::test::BrokenInvariant(*map);
  Check(broken.empty(), broken);
  return 0;
}
