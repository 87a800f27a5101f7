// SPDX-License-Identifier: Apache-2.0
#include "server/security/token_file.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "lib/text/quote.h"
#include "server/log/log.h"

namespace tensorferry::server {

absl::StatusOr<std::unique_ptr<TokenFile>> TokenFile::Open(const std::string& path, Metrics& metrics,
                                                           ReloadTiming timing) {
  std::unique_ptr<TokenFile> file(new TokenFile(path, metrics, std::move(timing)));
  const MutexLock lock(&file->mutex_);
  if (absl::Status status = file->Update(); !status.ok()) return status;
  return file;
}

std::shared_ptr<const TokenTable> TokenFile::Current() {
  const MutexLock lock(&mutex_);
  if (const absl::Status status = Update(); !status.ok()) {
    metrics_.CountFault(Fault::kTokens);
    LogError("token file invalid, accepting previous tokens", {{"file", path_}, {"error", status}});
  }
  return table_;
}

absl::Status TokenFile::Update() {
  const std::optional<absl::StatusOr<ReloadingFiles::Contents>> contents = file_.Poll();
  if (!contents) return absl::OkStatus();
  if (!contents->ok()) {
    return absl::Status(contents->status().code(),
                        fmt::format("token file: {}", std::string(contents->status().message())));
  }
  absl::StatusOr<TokenTable> table = TokenTable::Parse((*contents)->front());
  if (!table.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("token file {}: {}", Quote(path_), std::string(table.status().message())));
  }
  const bool first = table_ == nullptr;
  table_ = std::make_shared<const TokenTable>(*std::move(table));
  LogInfo(first ? "tokens loaded" : "tokens reloaded", {{"file", path_}, {"tokens", table_->size()}});
  return absl::OkStatus();
}

}  // namespace tensorferry::server
