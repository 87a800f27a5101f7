// SPDX-License-Identifier: Apache-2.0
#include "client/cli/device_flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <string_view>
#include <utility>

namespace tensorferry::cli {

absl::StatusOr<std::optional<CudaDevice>> DeviceFlags::Open() const {
  if (!cuda_ordinal) return std::nullopt;
  absl::StatusOr<CudaDevice> device = CudaDevice::Open(*cuda_ordinal, ring);
  if (!device.ok()) return device.status();
  return std::optional(*std::move(device));
}

void AddDeviceFlags(CLI::App& command, const std::string& purpose, DeviceFlags& flags) {
  command
      .add_option_function<std::string>(
          "--device",
          [&flags](const std::string& text) {
            constexpr std::string_view kPrefix = "cuda:";
            int ordinal = 0;
            if (!text.starts_with(kPrefix) || !CLI::detail::lexical_cast(text.substr(kPrefix.size()), ordinal) ||
                ordinal < 0) {
              throw CLI::ValidationError("--device", fmt::format("{} is not cuda:N", text));
            }
            flags.cuda_ordinal = ordinal;
          },
          purpose)
      ->type_name("cuda:N");
  command
      .add_option("--slot-bytes", flags.ring.slot_bytes,
                  "With --device: bytes of each slot of pinned memory that data passes, from 4096 to 1 GiB")
      ->type_name("BYTES")
      ->check(CLI::Range(4 << 10, 1 << 30).description(""))
      ->capture_default_str();
  command.add_option("--slots", flags.ring.slot_count, "With --device: how many of these slots there are, 2 to 64")
      ->type_name("N")
      ->check(CLI::Range(2, 64).description(""))
      ->capture_default_str();
}

}  // namespace tensorferry::cli
