// SPDX-License-Identifier: Apache-2.0
#include "lib/files/sigbus.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "lib/files/mapping_table.h"

namespace tensorferry {
namespace {

struct sigaction previous_action;
std::uintptr_t page_size;
std::atomic<std::int64_t> bus_errors = 0;

// Maps zeros from the page of `address` to the end of its mapping. After a truncation, the pages that follow are gone
// as well, and one fault must not lead to thousands. Returns false if the address is in no mapping of the table.
bool MapZeros(std::uintptr_t address) {
  mapping_table::Entry* entry = mapping_table::Find(address);
  if (entry == nullptr) return false;
  ++bus_errors;
  // Set before the zeros can be read.
  entry->poisoned = true;
  const std::uintptr_t begin = address / page_size * page_size;
  // A direct system call: sanitizers intercept mmap(), which must not be called in a signal handler.
  const long mapped = ::syscall(SYS_mmap, begin, entry->end.load() - begin, PROT_READ,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
  return mapped != -1;
}

void OnBusError(int, siginfo_t* info, void*) {
  const int saved_errno = errno;
  if (!MapZeros(reinterpret_cast<std::uintptr_t>(info->si_addr))) {
    // A fault outside our mappings. The instruction runs again and faults into the previous handler.
    ::sigaction(SIGBUS, &previous_action, nullptr);
  }
  errno = saved_errno;
}

bool Install() {
  page_size = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  struct sigaction action = {};
  action.sa_sigaction = OnBusError;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, &previous_action);
  return true;
}

}  // namespace

std::int64_t SigbusCount() { return bus_errors; }

void InstallSigbusHandler() { [[maybe_unused]] static const bool installed = Install(); }

}  // namespace tensorferry
