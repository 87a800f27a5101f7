// SPDX-License-Identifier: Apache-2.0
#include "client/cli/flags/device_flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string_view>
#include <utility>

#include "client/cli/flags/validators.h"
#include "lib/text/quote.h"

namespace tensorferry::cli {
namespace {

constexpr char kGroup[] = "GPU";

// Accepts the size of a staging buffer, and turns it into bytes.
CLI::Validator BufferSize() {
  const auto convert = [](std::string& text) -> std::string {
    std::string bytes = text;
    std::int64_t value = 0;
    try {
      // CLI11 accepts a unit alone, "MiB" for one MiB, and its messages list all the units that it knows.
      if (!text.empty() && text.front() >= '0' && text.front() <= '9' &&
          CLI::AsSizeValue(/*kb_is_1000=*/false)(bytes).empty() && CLI::detail::lexical_cast(bytes, value) &&
          value >= 4 << 10 && value <= 1 << 30) {
        text = bytes;
        return {};
      }
    } catch (const CLI::ValidationError&) {
    }
    return fmt::format("{}: give bytes, or a size with a unit such as 4MiB, 4KiB to 1GiB", Quote(text));
  };
  return CLI::Validator(convert, "");
}

}  // namespace

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
              throw CLI::ValidationError("--device", fmt::format("{}: give cuda:N, for example cuda:0", Quote(text)));
            }
            flags.cuda_ordinal = ordinal;
          },
          purpose)
      ->group(kGroup)
      ->type_name("cuda:N")
      ->default_str("host memory");
  command
      .add_option("--staging-buffers", flags.options.staging_buffers,
                  "Staging buffers in pinned host memory that the data passes through, 2 to 64.")
      ->group(kGroup)
      ->type_name("N")
      ->check(WholeNumber(2, 64))
      ->capture_default_str();
  command
      .add_option("--staging-buffer-bytes", flags.options.staging_buffer_bytes,
                  "Size of each staging buffer, 4KiB to 1GiB, in bytes or with a unit: KiB, MiB, GiB.")
      ->group(kGroup)
      ->type_name("BYTES")
      ->transform(BufferSize())
      ->default_str(fmt::format("{}MiB", flags.options.staging_buffer_bytes >> 20));
}

}  // namespace tensorferry::cli
