// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_APP_CHECK_CONFIG_H_
#define TENSORFERRY_SERVER_APP_CHECK_CONFIG_H_

#include "server/app/options.h"

namespace tensorferry::server {

// Prints to stdout the files and models that a server with these options would serve, and to stderr every error that
// would end its start. Does not listen. Returns the exit code: 0 if it would start, 1 otherwise.
int CheckConfig(const Options& options);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_APP_CHECK_CONFIG_H_
