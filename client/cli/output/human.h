// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_OUTPUT_HUMAN_H_
#define TENSORFERRY_CLIENT_CLI_OUTPUT_HUMAN_H_

#include <cstdint>
#include <span>
#include <string>

namespace tensorferry::cli {

// "17 B", "1.5 GiB".
std::string HumanSize(double bytes);
std::string HumanSize(std::int64_t bytes);

// "0:07", "2:15:00"; "-:--" if it is negative, not finite, or 1000 hours or more.
std::string HumanTime(double seconds);

// "350 us", "1.25 ms", "2.00 s".
std::string HumanLatency(double seconds);

// "[4096, 128]"; "[]" for a scalar.
std::string HumanShape(std::span<const std::int64_t> shape);

// "1 tensor", "2 tensors".
std::string Counted(std::int64_t count, const std::string& noun);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_OUTPUT_HUMAN_H_
