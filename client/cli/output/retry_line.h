// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_OUTPUT_RETRY_LINE_H_
#define TENSORFERRY_CLIENT_CLI_OUTPUT_RETRY_LINE_H_

#include <functional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/cli/output/progress_bar.h"

namespace tensorferry::cli {

// What to give to CallOptions::on_retry: prints a line to stderr, whether that is a terminal or not, so that whoever
// waits or reads the log later knows why. It takes the place of `progress_bar`, if there is one, until that is drawn
// again. Must not outlive the bar.
std::function<void(const absl::Status&, absl::Duration)> PrintRetries(ProgressBar* progress_bar = nullptr);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_OUTPUT_RETRY_LINE_H_
