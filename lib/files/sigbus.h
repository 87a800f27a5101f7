// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_FILES_SIGBUS_H_
#define TENSORFERRY_LIB_FILES_SIGBUS_H_

#include <cstdint>

namespace tensorferry {

// Makes the process survive that a mapped file is truncated, or that its disk or memory fails, while it is read: from
// then on a MappedFile shows zeros from the page that failed to its end, and CheckUnchanged() tells. Whoever reads from
// the mapping must ask that before using what was read.
//
// Installs a process-wide handler for SIGBUS; faults elsewhere go to the handler that there was. May be called from any
// thread, more than once. A program that has a handler of its own should not install it after this.
void InstallSigbusHandler();

// How many it has survived. Safe for concurrent use by multiple threads.
std::int64_t SigbusCount();

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_FILES_SIGBUS_H_
