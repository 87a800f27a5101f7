// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_PROCESS_EXIT_CODE_H_
#define TENSORFERRY_CLIENT_CLI_PROCESS_EXIT_CODE_H_

namespace tensorferry::cli {

// What the program ends with.
enum ExitCode : int {
  kDone = 0,
  kFailed = 1,
  kWrongUsage = 2,
};

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_PROCESS_EXIT_CODE_H_
