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

// Reads a file and compares its blocks with the manifest. Returns the number of bytes from its beginning that agree:
// whole blocks, or the whole file of the manifest. `path` is for messages.
// Errors: CANCELLED: a stop was requested; those of reading the file.
absl::StatusOr<std::int64_t> AgreeingBytes(int fd, const std::string& path, const FileManifest& manifest,
                                           const std::stop_token& stop_token);

// The hidden file that collects the bytes of a pulled file, and a Sink for the bytes that are still missing.
//
// Accepts bytes in order only. Of the bytes that an earlier pull left, it keeps the blocks that agree with the server's
// manifest. The bytes that follow such blocks must agree with the manifest, too. Not safe for concurrent use.
class PartialFile final : public Sink {
 public:
  // Returns the server's manifest of the file. Called only if there are bytes to compare.
  using GetManifest = std::function<absl::StatusOr<FileManifest>()>;

  // Opens or creates `NAME.part` in the directory of `directory_fd`. `directory` is its path, for messages.
  // Errors: FAILED_PRECONDITION: not a regular file; CANCELLED: a stop was requested; those of the operating system and
  // of `get_manifest`.
  static absl::StatusOr<PartialFile> Open(int directory_fd, const std::string& directory, const FileInfo& file,
                                          const GetManifest& get_manifest, const std::stop_token& stop_token);

  PartialFile(PartialFile&&) = default;

  // Returns the name of the partial file in its directory.
  static std::string DataName(const std::string& file) { return file + ".part"; }

  // Returns the offset in the file of the sink's first byte.
  std::int64_t resumed_at() const { return resumed_at_; }
  // Returns the number of bytes of the file that are present.
  std::int64_t present_bytes() const { return present_bytes_; }

  std::int64_t size_bytes() const override { return total_bytes_ - resumed_at_; }
  // Errors: ABORTED: a block differs from the manifest.
  absl::Status Write(std::int64_t offset, std::span<const std::byte> data) override;
  absl::Status Finish() override { return absl::OkStatus(); }

  // Syncs the file to disk. Errors: DATA_LOSS: it is not complete; those of the operating system.
  absl::Status SyncComplete() const;

 private:
  PartialFile(UniqueFd fd, std::string path, std::int64_t total_bytes)
      : fd_(std::move(fd)), path_(std::move(path)), total_bytes_(total_bytes) {}

  // Compares the blocks that are complete with `data`, the next bytes of the file.
  absl::Status Compare(std::span<const std::byte> data);

  UniqueFd fd_;
  std::string path_;
  std::int64_t total_bytes_;
  std::int64_t resumed_at_ = 0;
  std::int64_t present_bytes_ = 0;
  std::optional<FileManifest> manifest_;  // present if the file resumes
  std::uint32_t block_crc_ = 0;           // of the bytes of the incomplete block
};

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_PULLING_PARTIAL_FILE_H_
