// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_SECURITY_TLS_H_
#define TENSORFERRY_SERVER_SECURITY_TLS_H_

#include <grpcpp/security/server_credentials.h>

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/metrics/metrics.h"
#include "server/security/options.h"
#include "server/security/reloading_files.h"

namespace tensorferry::server {

// Credentials for TLS 1.2 and 1.3 whose files may be replaced at any time: connections that are made from then on see
// the new ones, those that are there stay. Where the files have become unreadable, or do not belong together, that is
// logged and what was served before is served still. Must outlive the server that listens with them; `metrics` must
// outlive both.
// Errors: as CheckKeyPair and CheckAuthorities.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> TlsCredentials(
    const TlsFiles& files, Metrics& metrics, std::chrono::milliseconds interval = ReloadingFiles::kInterval);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_SECURITY_TLS_H_
