// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_STORAGE_LOAD_OPTIONS_H_
#define TENSORFERRY_STORAGE_LOAD_OPTIONS_H_

#include <stop_token>

#include "tensorferry/safetensors/header.h"

namespace tensorferry {

// How the token for a safetensors file's bytes is made.
enum class FingerprintMode : char {
  // Of the header, the size, samples of every tensor, and the file's SHA-256 where that is known without reading all of
  // it: from a .sha256 file beside it, or from the name of a Hugging Face cache's blob.
  kSampled,
  // Of all bytes. A file whose known SHA-256 is another one is not served.
  kFull,
};

// How files are loaded.
struct LoadOptions {
  safetensors::Limits limits = {};
  FingerprintMode fingerprint = FingerprintMode::kSampled;
  // Ends a load that is running, with CANCELLED.
  std::stop_token stop = {};
};

}  // namespace tensorferry

#endif  // TENSORFERRY_STORAGE_LOAD_OPTIONS_H_
