// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_SECURITY_TLS_H_
#define TENSORFERRY_SERVER_SECURITY_TLS_H_

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "absl/status/statusor.h"
#include "server/metrics/metrics.h"
#include "server/security/options.h"

namespace tensorferry::server {

// Returns credentials for TLS 1.2 and 1.3 whose files are reloaded when they change. New connections use the new files;
// existing ones continue. If the files become unreadable, or do not match each other, logs the error and serves the
// previous ones. The credentials must outlive the server that listens with them, and `metrics` must outlive both.
// Errors: those of CheckKeyPair and CheckAuthorities.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> TlsCredentials(const TlsFiles& files, Metrics& metrics);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_SECURITY_TLS_H_
