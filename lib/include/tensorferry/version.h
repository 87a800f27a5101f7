// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_VERSION_H_
#define TENSORFERRY_VERSION_H_

// The version of the headers that a program was compiled with. CMake reads it here, too.
#define TENSORFERRY_VERSION "0.1.0"

#endif  // TENSORFERRY_VERSION_H_
