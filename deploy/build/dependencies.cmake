# What everything here stands on: Debian 12 packages, and why each. The installed package finds them through this file, too.
include(CMakeFindDependencyMacro)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_dependency(Threads)
find_dependency(absl CONFIG)      # absl::Status, StatusOr, flat_hash_set, base64: the vocabulary of the APIs
find_dependency(fmt CONFIG)       # messages; gcc 12 has no std::format
find_dependency(OpenSSL)          # SHA-256 of digests; gRPC brings it along
find_dependency(Protobuf MODULE)  # gRPC's config wants it found first, in module mode
find_dependency(gRPC CONFIG)
find_dependency(PkgConfig)
pkg_check_modules(TENSORFERRY_ISAL REQUIRED IMPORTED_TARGET libisal) # crc32c at 9 to 22 GB/s
pkg_check_modules(TENSORFERRY_RE2 REQUIRED IMPORTED_TARGET re2) # globs in linear time; gRPC brings it along
