// SPDX-License-Identifier: Apache-2.0
#include "server/app/check_config.h"

#include <fmt/format.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "lib/catalog/catalog.h"
#include "lib/text/quote.h"
#include "server/admin/admin_server.h"
#include "server/metrics/metrics.h"
#include "server/security/security.h"

namespace tensorferry::server {
namespace {

// Prints the error, if there is one. Returns true if there is none.
bool Report(const absl::Status& status) {
  if (!status.ok()) fmt::print(stderr, "tensorferryd: {}\n", std::string(status.message()));
  return status.ok();
}

bool ReportRoot(const Options& options) {
  const absl::StatusOr<std::shared_ptr<const Catalog>> catalog =
      Catalog::Load(options.root, {.verify = options.watch.verify});
  if (!catalog.ok()) return Report(catalog.status());
  fmt::print("root {}: {} models can be served\n", Quote(options.root), (*catalog)->CountListed().ready);
  for (const auto& [name, entry] : (*catalog)->entries()) {
    if (!entry.listed || entry.model.ok()) continue;
    fmt::print("model {}: cannot be served: {}\n", Quote(name), std::string(entry.model.status().message()));
  }
  return true;
}

bool ReportSecurity(const Options& options) {
  Metrics metrics;
  const absl::StatusOr<Security> security = OpenSecurity(options.server.security, options.server.listen, metrics);
  if (!security.ok()) return Report(security.status());
  if (options.server.security.tls.certificate.empty()) {
    fmt::print("TLS: none\n");
  } else {
    fmt::print("TLS: certificate {}{}\n", Quote(options.server.security.tls.certificate),
               options.server.security.tls.client_ca.empty()
                   ? ""
                   : fmt::format(", client certificates from {}", Quote(options.server.security.tls.client_ca)));
  }
  fmt::print("tokens: {}\n",
             options.server.security.token_file.empty() ? "none" : Quote(options.server.security.token_file));
  return true;
}

}  // namespace

int CheckConfig(const Options& options) {
  bool good = ReportSecurity(options);
  if (options.admin_listen != "off") good = Report(CheckAdminAddress(options.admin_listen)) && good;
  // Last, because it may take minutes.
  good = ReportRoot(options) && good;
  fmt::print("{}\n", good ? "the server could start" : "the server could not start");
  return good ? 0 : 1;
}

}  // namespace tensorferry::server
