// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_VERSION_H_
#define TENSORFERRY_VERSION_H_

// The version of these headers. CMakeLists.txt reads the version of the project from this line.
#define TENSORFERRY_VERSION "0.1.0"

#endif  // TENSORFERRY_VERSION_H_
