// SPDX-License-Identifier: Apache-2.0
//
// gRPC's FileWatcherCertificateProvider reloads files, too. But in the version that we build on it drops the valid
// certificate before it validates the new one. If certificate and key are replaced one after the other, all handshakes
// fail in between. gRPC calls the fetcher below at each handshake, and the fetcher returns validated files only.
#include "server/security/tls.h"

#include <fmt/format.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "lib/sync/mutex.h"
#include "lib/tls/pem.h"
#include "server/log/log.h"
#include "server/security/reloading_files.h"

namespace tensorferry::server {
namespace {

std::string InUtc(absl::Time time) { return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone()); }

// The key and the certificates to serve. Safe for concurrent use by multiple threads.
class CertificateSource {
 public:
  CertificateSource(const TlsFiles& files, Metrics& metrics)
      : paths_(files), metrics_(metrics), files_(PathsOf(files), kMaxPemBytes) {}

  // gRPC calls this at its start and before each handshake.
  static grpc_ssl_certificate_config_reload_status Fetch(void* self, grpc_ssl_server_certificate_config** config) {
    return static_cast<CertificateSource*>(self)->Fetch(config);
  }

  // Loads the files if they have changed.
  absl::Status Update() {
    const MutexLock lock(&mutex_);
    return UpdateLocked();
  }

 private:
  static std::vector<std::string> PathsOf(const TlsFiles& files) {
    std::vector<std::string> paths = {files.certificate, files.private_key};
    if (!files.client_ca.empty()) paths.push_back(files.client_ca);
    return paths;
  }

  absl::Status UpdateLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    std::optional<absl::StatusOr<ReloadingFiles::Contents>> contents = files_.Poll();
    if (!contents) return absl::OkStatus();
    if (!contents->ok()) return contents->status();
    const Pem certificate = {.path = paths_.certificate, .text = (**contents)[0]};
    const Pem private_key = {.path = paths_.private_key, .text = (**contents)[1]};
    const absl::StatusOr<Validity> validity = CheckKeyPair(certificate, private_key);
    if (!validity.ok()) return validity.status();
    if (!paths_.client_ca.empty()) {
      const Pem client_ca = {.path = paths_.client_ca, .text = (**contents)[2]};
      if (absl::Status status = CheckAuthorities(client_ca); !status.ok()) return status;
    }
    LogInfo(good_.empty() ? "certificate loaded" : "certificate reloaded",
            {{"file", paths_.certificate}, {"expires", InUtc(validity->not_after)}});
    if (const absl::Time now = absl::Now(); now > validity->not_after || now < validity->not_before) {
      LogWarning("certificate not valid now, clients will reject it", {{"file", paths_.certificate},
                                                                       {"begins", InUtc(validity->not_before)},
                                                                       {"expires", InUtc(validity->not_after)}});
    }
    metrics_.set_certificate_expiry(absl::ToUnixSeconds(validity->not_after));
    good_ = **std::move(contents);
    fetched_ = false;
    return absl::OkStatus();
  }

  grpc_ssl_certificate_config_reload_status Fetch(grpc_ssl_server_certificate_config** config) {
    const MutexLock lock(&mutex_);
    if (const absl::Status status = UpdateLocked(); !status.ok()) {
      metrics_.CountFault(Fault::kCertificate);
      LogError("certificate files invalid, serving previous certificate",
               {{"file", paths_.certificate}, {"error", status}});
    }
    if (std::exchange(fetched_, true)) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    const grpc_ssl_pem_key_cert_pair pair = {.private_key = good_[1].c_str(), .cert_chain = good_[0].c_str()};
    // gRPC requires CAs even if it requests no client certificate: any will do.
    const std::string& authorities = paths_.client_ca.empty() ? good_[0] : good_[2];
    *config = grpc_ssl_server_certificate_config_create(authorities.c_str(), &pair, 1);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const TlsFiles paths_;
  Metrics& metrics_;
  Mutex mutex_;
  ReloadingFiles files_ ABSL_GUARDED_BY(mutex_);
  // The last valid contents.
  ReloadingFiles::Contents good_ ABSL_GUARDED_BY(mutex_);
  // gRPC has good_.
  bool fetched_ ABSL_GUARDED_BY(mutex_) = false;
};

// Credentials with the fetcher of gRPC's C API; the C++ API has none.
class FetchingCredentials final : public grpc::ServerCredentials {
 public:
  FetchingCredentials(std::unique_ptr<CertificateSource> source, grpc_ssl_client_certificate_request_type request)
      : source_(std::move(source)),
        credentials_(grpc_ssl_server_credentials_create_with_options(
            grpc_ssl_server_credentials_create_options_using_config_fetcher(request, CertificateSource::Fetch,
                                                                            source_.get()))) {}
  FetchingCredentials(const FetchingCredentials&) = delete;
  FetchingCredentials& operator=(const FetchingCredentials&) = delete;
  ~FetchingCredentials() override { grpc_server_credentials_release(credentials_); }

  // Not used: Authorizer checks the tokens of each call.
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  const std::unique_ptr<CertificateSource> source_;
  grpc_server_credentials* const credentials_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> TlsCredentials(const TlsFiles& files, Metrics& metrics) {
  auto source = std::make_unique<CertificateSource>(files, metrics);
  if (absl::Status status = source->Update(); !status.ok()) return status;
  return std::make_shared<FetchingCredentials>(
      std::move(source), files.client_ca.empty() ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                                                 : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
}

}  // namespace tensorferry::server
