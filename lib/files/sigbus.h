// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_FILES_SIGBUS_H_
#define TENSORFERRY_LIB_FILES_SIGBUS_H_

#include <cstdint>

namespace tensorferry {

// Installs a process-wide handler for SIGBUS, the signal for reads of a mapped file that was truncated or whose disk or
// memory fails. The handler maps zeros from the page that failed to the end of the mapping, and the MappedFile's
// CheckUnchanged() returns an error from then on. Call CheckUnchanged() after reading from a mapping and before using
// the bytes.
//
// Faults outside mapped files go to the previous handler. Safe to call from any thread and more than once. A program
// with a SIGBUS handler of its own must install that one first.
void InstallSigbusHandler();

// Returns the number of SIGBUS signals handled so far. Safe for concurrent use by multiple threads.
std::int64_t SigbusCount();

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_FILES_SIGBUS_H_
