// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLI_PARTIAL_FILE_H_
#define TENSORFERRY_CLI_PARTIAL_FILE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "tensorferry/destination.h"
#include "tensorferry/files/unique_fd.h"
#include "tensorferry/model_info.h"

namespace tensorferry::cli {

// The hidden file in which a pulled file grows, and as a Destination the part of it that is still missing.
//
// It takes bytes in order only, and a fetch writes only what it has verified: so whatever stops the program, the file
// is a verified beginning, as long as it is, and the next pull goes on there. Its state file, written first, says of
// what.
class PartialFile final : public Destination {
 public:
  // Opens `NAME.part` in the directory, at its end if its state file says that it is the beginning of `file` and was
  // written since this machine booted, else empty. `directory` is the path for messages.
  static absl::StatusOr<PartialFile> Open(int directory_fd, const std::string& directory, const FileInfo& file);

  PartialFile(PartialFile&&) = default;

  // The names within the directory.
  static std::string DataName(const std::string& file) { return file + ".part"; }
  static std::string StateName(const std::string& file) { return file + ".part.json"; }

  // Where it went on: the offset in the file at which the destination begins. 0 if it began anew.
  std::int64_t resumed_at() const { return resumed_at_; }
  // How much of the file is there.
  std::int64_t present_bytes() const { return present_bytes_; }

  std::int64_t size_bytes() const override { return total_bytes_ - resumed_at_; }
  absl::Status Write(std::int64_t offset, std::span<const std::byte> data) override;
  absl::Status Finish() override { return absl::OkStatus(); }

  // Syncs the file, which must be complete, and returns its time of modification.
  absl::StatusOr<std::int64_t> SyncComplete() const;

 private:
  PartialFile(UniqueFd fd, std::string path, std::int64_t resumed_at, std::int64_t total_bytes);

  UniqueFd fd_;
  std::string path_;
  std::int64_t resumed_at_;
  std::int64_t present_bytes_;
  std::int64_t total_bytes_;
};

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLI_PARTIAL_FILE_H_
