// SPDX-License-Identifier: Apache-2.0
#include "client/cli/output/retry_line.h"

#include <fmt/format.h>

#include <cstdio>
#include <string>

#include "client/cli/output/terminal.h"

namespace tensorferry::cli {

std::function<void(const absl::Status&, absl::Duration)> PrintRetries(ProgressBar* progress_bar) {
  return [progress_bar](const absl::Status& status, absl::Duration delay) {
    if (progress_bar != nullptr) progress_bar->Clear();
    fmt::print(stderr, "tensorferry: {}; trying again in {:.1f} s\n", OneLine(std::string(status.message())),
               absl::ToDoubleSeconds(delay));
  };
}

}  // namespace tensorferry::cli
