// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_FILES_FILE_IDENTITY_H_
#define TENSORFERRY_LIB_FILES_FILE_IDENTITY_H_

#include <sys/stat.h>

#include "lib/files/mapped_file.h"

namespace tensorferry {

// Returns the identity of the file that `stat` describes. A scan and an open file must derive it in the same way.
// Otherwise every scan opens every file again.
inline FileIdentity IdentityOf(const struct stat& stat) {
  return {.device = stat.st_dev,
          .inode = stat.st_ino,
          .size_bytes = stat.st_size,
          .modified_ns = stat.st_mtim.tv_sec * 1'000'000'000 + stat.st_mtim.tv_nsec};
}

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_FILES_FILE_IDENTITY_H_
