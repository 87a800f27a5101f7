// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLI_PULL_STATE_H_
#define TENSORFERRY_CLI_PULL_STATE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace tensorferry::cli {

// A file as a pull left it: while size and time stay as they are, it holds the bytes of that fingerprint.
struct PulledFile {
  std::string fingerprint;
  std::int64_t size_bytes = 0;
  std::int64_t modified_ns = 0;
  friend bool operator==(const PulledFile&, const PulledFile&) = default;
};

// By name.
using PulledFiles = std::map<std::string, PulledFile>;

// Reads and writes `.tensorferry/pulled.json`. What cannot be read is left out: those files are fetched again.
PulledFiles ParsePulledFiles(std::string_view json);
std::string ToJson(const PulledFiles& files);

// What a partial file is the beginning of. The bytes of a boot that is over count for nothing: they were not synced.
struct PartialState {
  std::string fingerprint;
  std::int64_t size_bytes = 0;
  std::string boot_id;
  friend bool operator==(const PartialState&, const PartialState&) = default;
};

// Reads and writes `.tensorferry/NAME.part.json`. Nothing if it cannot be read.
std::optional<PartialState> ParsePartialState(std::string_view json);
std::string ToJson(const PartialState& state);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLI_PULL_STATE_H_
