// SPDX-License-Identifier: Apache-2.0
#include "client/cli/flags/device_flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <string_view>
#include <utility>

namespace tensorferry::cli {

absl::StatusOr<std::optional<CudaDevice>> DeviceFlags::Open() const {
  if (!cuda_ordinal) return std::nullopt;
  absl::StatusOr<CudaDevice> device = CudaDevice::Open(*cuda_ordinal, options);
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
      .add_option("--staging-buffers", flags.options.staging_buffers,
                  "With --device: the number of staging buffers, pinned memory that data passes through, 2 to 64")
      ->type_name("N")
      ->check(CLI::Range(2, 64).description(""))
      ->capture_default_str();
  command
      .add_option("--staging-buffer-bytes", flags.options.staging_buffer_bytes,
                  "With --device: the size of each staging buffer, from 4KiB to 1GiB")
      ->type_name("BYTES")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false).description(""))
      ->check(CLI::Range(4 << 10, 1 << 30).description(""))
      ->capture_default_str();
}

}  // namespace tensorferry::cli
