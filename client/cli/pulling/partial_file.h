// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_PULLING_PARTIAL_FILE_H_
#define TENSORFERRY_CLIENT_CLI_PULLING_PARTIAL_FILE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/files/unique_fd.h"
#include "tensorferry/destination.h"
#include "tensorferry/model_info.h"

namespace tensorferry::cli {

// The hidden file in which a pulled file grows, and a Sink for the part of it that is still missing.
//
// It takes bytes in order only. Of the bytes that an earlier pull left, it keeps those that agree with the server's
// manifest, whoever wrote them and whenever; the bytes that are added to such a beginning must agree with it, too.
class PartialFile final : public Sink {
 public:
  // Returns the server's manifest of the file. Called only if there are bytes to compare.
  using GetManifest = std::function<absl::StatusOr<FileManifest>()>;

  // Opens or creates `NAME.part` in the directory, whose path is for messages.
  static absl::StatusOr<PartialFile> Open(int directory_fd, const std::string& directory, const FileInfo& file,
                                          const GetManifest& get_manifest, const std::stop_token& stop_token);

  PartialFile(PartialFile&&) = default;

  // The name within the directory.
  static std::string DataName(const std::string& file) { return file + ".part"; }

  // The offset in the file at which the sink begins.
  std::int64_t resumed_at() const { return resumed_at_; }
  // How many bytes of the file are there.
  std::int64_t present_bytes() const { return present_bytes_; }

  std::int64_t size_bytes() const override { return total_bytes_ - resumed_at_; }
  // Errors: ABORTED: a block differs from the manifest.
  absl::Status Write(std::int64_t offset, std::span<const std::byte> data) override;
  absl::Status Finish() override { return absl::OkStatus(); }

  // Syncs the file, which must be complete.
  absl::Status SyncComplete() const;

 private:
  PartialFile(UniqueFd fd, std::string path, std::int64_t total_bytes)
      : fd_(std::move(fd)), path_(std::move(path)), total_bytes_(total_bytes) {}

  // Compares the blocks that `data`, the next bytes of the file, completes.
  absl::Status Compare(std::span<const std::byte> data);

  UniqueFd fd_;
  std::string path_;
  std::int64_t total_bytes_;
  std::int64_t resumed_at_ = 0;
  std::int64_t present_bytes_ = 0;
  std::optional<FileManifest> manifest_;  // if it was needed
  std::uint32_t block_crc_ = 0;           // of the beginning of the block that is not complete
};

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_PULLING_PARTIAL_FILE_H_
