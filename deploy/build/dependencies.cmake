# The dependencies of all targets: Debian 12 packages, and the reason for each. The installed package uses this file, too.
include(CMakeFindDependencyMacro)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_dependency(Threads)
find_dependency(absl CONFIG)      # absl::Status, StatusOr, flat_hash_set, Mutex, base64
find_dependency(fmt CONFIG)       # messages; gcc 12 has no std::format
find_dependency(OpenSSL)          # SHA-256 of digests; a dependency of gRPC
find_dependency(Protobuf MODULE)  # gRPC's config requires it first, in module mode
find_dependency(gRPC CONFIG)
find_dependency(PkgConfig)
pkg_check_modules(TENSORFERRY_ISAL REQUIRED IMPORTED_TARGET libisal) # crc32c at 9 to 22 GB/s
pkg_check_modules(TENSORFERRY_RE2 REQUIRED IMPORTED_TARGET re2) # globs in linear time; a dependency of gRPC
