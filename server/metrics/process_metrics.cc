// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>

#include "server/metrics/single_value.h"

namespace tensorferry::server {
namespace {

using prometheus::MetricType;

// Fields of /proc/self/stat, see proc(5).
struct Stat {
  std::int64_t threads = 0;
  double start_ticks = 0;
  double virtual_bytes = 0;
  double resident_pages = 0;
};

std::optional<Stat> ReadStat() {
  std::ifstream file("/proc/self/stat");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  // The second field is the program's name in parentheses, which may contain parentheses.
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  std::string skipped;
  for (int field = 3; field < 20; ++field) fields >> skipped;
  Stat stat;
  fields >> stat.threads >> skipped >> stat.start_ticks >> stat.virtual_bytes >> stat.resident_pages;
  if (!fields) return std::nullopt;
  return stat;
}

// Returns the time of the system's start, in seconds since the epoch.
std::optional<double> BootTime() {
  std::ifstream file("/proc/stat");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("btime ")) return std::stod(line.substr(6));
  }
  return std::nullopt;
}

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

}  // namespace

std::vector<prometheus::MetricFamily> ProcessMetrics() {
  std::vector<prometheus::MetricFamily> families;
  const auto add = [&](MetricType type, const char* name, const char* help, double value) {
    families.push_back(SingleValue(type, name, help, value));
  };
  rusage usage = {};
  if (::getrusage(RUSAGE_SELF, &usage) == 0) {
    add(MetricType::Counter, "process_cpu_seconds_total", "User and system CPU time, in seconds.",
        Seconds(usage.ru_utime) + Seconds(usage.ru_stime));
    add(MetricType::Counter, "process_major_page_faults_total", "Page faults that waited for a disk.",
        static_cast<double>(usage.ru_majflt));
  }
  if (const std::optional<Stat> stat = ReadStat()) {
    static const std::optional<double> boot_time = BootTime();
    add(MetricType::Gauge, "process_virtual_memory_bytes", "Virtual memory in bytes, mapped models included.",
        stat->virtual_bytes);
    add(MetricType::Gauge, "process_resident_memory_bytes",
        "Resident memory in bytes, pages of mapped models included.",
        stat->resident_pages * static_cast<double>(::sysconf(_SC_PAGESIZE)));
    add(MetricType::Gauge, "process_threads", "Threads of the process.", static_cast<double>(stat->threads));
    if (boot_time) {
      add(MetricType::Gauge, "process_start_time_seconds", "Start of the process, in seconds since the epoch.",
          *boot_time + stat->start_ticks / static_cast<double>(::sysconf(_SC_CLK_TCK)));
    }
  }
  std::error_code error;
  if (const std::filesystem::directory_iterator open("/proc/self/fd", error); !error) {
    // Without the descriptor of this directory.
    add(MetricType::Gauge, "process_open_fds", "Open file descriptors.",
        static_cast<double>(std::distance(begin(open), end(open)) - 1));
  }
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    add(MetricType::Gauge, "process_max_fds", "Limit of open file descriptors.", static_cast<double>(limit.rlim_cur));
  }
  return families;
}

}  // namespace tensorferry::server
