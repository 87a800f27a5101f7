// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_CATALOG_LOAD_OPTIONS_H_
#define TENSORFERRY_LIB_CATALOG_LOAD_OPTIONS_H_

#include <stop_token>

#include "tensorferry/safetensors/header.h"

namespace tensorferry {

// How much of a safetensors file is verified before it is served. Digests and generations do not depend on it.
enum class Verify : char {
  // The header, against the format's rules and the file's size.
  kHeaders,
  // All bytes: they must be readable. If the file's SHA-256 is known, from a .sha256 file next to it or from the name
  // of a Hugging Face cache's blob, a file with another one is not served.
  kFull,
};

// How files are loaded.
struct LoadOptions {
  safetensors::Limits limits = {};
  Verify verify = Verify::kHeaders;
  // Ends a load that is running, with CANCELLED.
  std::stop_token stop = {};
};

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CATALOG_LOAD_OPTIONS_H_
