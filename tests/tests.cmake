find_package(GTest CONFIG REQUIRED)

# Under sanitizers everything takes longer and random tests do less.
if(TENSORFERRY_SANITIZE)
  set(TEST_ENVIRONMENT TENSORFERRY_SANITIZED=1 TENSORFERRY_TEST_SLICES=2200)
  set(TEST_TIMEOUT 1200)
else()
  set(TEST_TIMEOUT 600)
endif()
list(APPEND TEST_ENVIRONMENT
  ASAN_OPTIONS=detect_leaks=1:abort_on_error=0
  UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
  "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:suppressions=${CMAKE_CURRENT_SOURCE_DIR}/testing/tsan.supp"
  PYTHONDONTWRITEBYTECODE=1
  TENSORFERRY_BIN_DIR=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}
  TENSORFERRY_PROTO_DIR=${PROJECT_SOURCE_DIR}/proto)

# What all gtest programs share, so that its headers are precompiled once; which works only if all are compiled alike.
set(CMAKE_POSITION_INDEPENDENT_CODE OFF)
add_library(tensorferry_gtest_main STATIC testing/gtest_main.cc)
target_link_libraries(tensorferry_gtest_main PUBLIC tensorferry_testing GTest::gmock GTest::gtest Threads::Threads fmt::fmt
                                                    tensorferry_options)
target_compile_options(tensorferry_gtest_main PUBLIC -pthread) # as gRPC does: see above
target_precompile_headers(tensorferry_gtest_main PRIVATE <gmock/gmock.h> <gtest/gtest.h> <fmt/format.h>)

# Certificates for those tests that need some; in a library of its own, because fuzzers need no OpenSSL.
add_library(tensorferry_test_certificates STATIC testing/certificates.cc)
target_include_directories(tensorferry_test_certificates PUBLIC ${PROJECT_SOURCE_DIR})
target_link_libraries(tensorferry_test_certificates PRIVATE OpenSSL::Crypto tensorferry_options)

# tensorferry_test(NAME SOURCES ... LIBRARIES ...)
function(tensorferry_test NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${NAME} ${ARG_SOURCES})
  set_target_properties(${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  target_link_libraries(${NAME} PRIVATE ${ARG_LIBRARIES} tensorferry_gtest_main)
  target_precompile_headers(${NAME} REUSE_FROM tensorferry_gtest_main)
  add_test(NAME ${NAME} COMMAND ${NAME})
  set_tests_properties(${NAME} PROPERTIES ENVIRONMENT "${TEST_ENVIRONMENT}" TIMEOUT ${TEST_TIMEOUT})
endfunction()

# tensorferry_python_test(NAME SCRIPT ARGUMENTS...)
# Their programs may end while gRPC is still at work, and leave behind what its libraries hold then.
set(SHORT_PROGRAMS LSAN_OPTIONS=print_suppressions=0:suppressions=${CMAKE_CURRENT_SOURCE_DIR}/testing/lsan.supp)
function(tensorferry_python_test NAME SCRIPT)
  add_test(NAME ${NAME} COMMAND ${TENSORFERRY_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/${SCRIPT} ${ARGN})
  set_tests_properties(${NAME} PROPERTIES ENVIRONMENT "${TEST_ENVIRONMENT};${SHORT_PROGRAMS}" TIMEOUT ${TEST_TIMEOUT})
endfunction()

tensorferry_test(tensor_test
  SOURCES tensor/dtype_test.cc tensor/quote_test.cc tensor/slice_plan_oracle_test.cc tensor/slice_plan_test.cc
          tensor/slice_test.cc checksum/crc32c_combine_test.cc checksum/crc32c_test.cc
          checksum/sha256_test.cc
  LIBRARIES tensorferry::tensor tensorferry::checksum)
tensorferry_test(safetensors_test
  SOURCES safetensors/header_cases_json.cc safetensors/header_cases_tensors.cc safetensors/header_mutation_test.cc
          safetensors/header_test.cc safetensors/index_test.cc safetensors/name_order_test.cc safetensors/writer_test.cc
  LIBRARIES tensorferry::safetensors)
tensorferry_test(storage_test
  SOURCES storage/catalog_test.cc storage/catalog_tree_test.cc storage/generation_test.cc storage/instance_test.cc
          storage/known_digest_test.cc storage/mapped_file_test.cc storage/model_test.cc
          storage/reload_broken_test.cc storage/reload_test.cc storage/replacement_test.cc
          storage/safetensors_file_test.cc
  LIBRARIES tensorferry::safetensors)
tensorferry_test(wire_test SOURCES wire/chunk_test.cc wire/retry_info_test.cc LIBRARIES tensorferry::wire tensorferry::checksum)
tensorferry_test(client_test
  SOURCES client/assembler_test.cc client/automatic_connections_test.cc client/fetch_plan_test.cc client/read_tracker_test.cc client/resume_test.cc client/retry_policy_test.cc
          client/checked_copy_test.cc client/checksum_comparison_test.cc client/manifest_test.cc client/running_crc_test.cc
          testing/fault_server.cc
  LIBRARIES tensorferry::client tensorferry::wire tensorferry::checksum)
tensorferry_test(server_test
  SOURCES server/access_test.cc server/admin_test.cc server/chunk_source_failure_test.cc server/chunk_source_slice_test.cc
          server/chunk_source_test.cc server/chunk_source_window_test.cc server/chunk_source_checksum_test.cc server/listening_sockets_test.cc server/log_test.cc server/names_test.cc
          server/token_table_test.cc server/worker_pool_test.cc
  LIBRARIES tensorferry::server)
tensorferry_test(security_test
  SOURCES security/pem_test.cc
  LIBRARIES tensorferry::security tensorferry_test_certificates)
tensorferry_test(secure_fetch_test
  SOURCES e2e/secure_fetch_test.cc
  LIBRARIES tensorferry::server tensorferry::client tensorferry_test_certificates)
tensorferry_test(slow_storage_test SOURCES e2e/slow_storage_test.cc LIBRARIES tensorferry::server tensorferry::client)
tensorferry_test(fetch_test SOURCES e2e/fetch_test.cc LIBRARIES tensorferry::server tensorferry::client)
tensorferry_test(identity_test
  SOURCES e2e/identity_test.cc e2e/confirmation_test.cc testing/cutting_proxy.cc
  LIBRARIES tensorferry::server tensorferry::client)
tensorferry_test(cut_test
  SOURCES e2e/cut_test.cc e2e/failover_test.cc testing/cutting_proxy.cc
  LIBRARIES tensorferry::server tensorferry::client)
add_subdirectory(cuda)

tensorferry_python_test(reference_test safetensors/reference_test.py $<TARGET_FILE:tensorferry>)
list(APPEND TEST_ENVIRONMENT TENSORFERRY_FAKE_CUDA_DIR=${PROJECT_BINARY_DIR}/tests/fake_cuda)
# For a real GPU; with little to do also on the fake driver, so that it runs when one is there.
tensorferry_python_test(cuda_gpu_bench_test e2e/gpu_bench_test.py)
set_tests_properties(cuda_gpu_bench_test PROPERTIES
  RUN_SERIAL ON TIMEOUT 1200 SKIP_REGULAR_EXPRESSION "not tested on a GPU")
tensorferry_python_test(cuda_bench_test e2e/gpu_bench_test.py)
set_property(TEST cuda_bench_test APPEND PROPERTY ENVIRONMENT
  LD_LIBRARY_PATH=${PROJECT_BINARY_DIR}/tests/fake_cuda TENSORFERRY_GPU_BENCH_MIB=4)
foreach(TEST IN ITEMS admin changing_files cli_device cli_errors cli_get cli_list cli_pull compatibility config drain kill
                      limits listing log memory proto_readme proxy pull_identity real_model reload reload_broken replicas
                      resume scarce server_process sharded_model slice_oracle slow_network stock_client tls tls_rotation
                      token)
  tensorferry_python_test(e2e_${TEST}_test e2e/${TEST}_test.py)
endforeach()
set_tests_properties(e2e_compatibility_test PROPERTIES SKIP_RETURN_CODE 77) # without tests/previous.sh
if(NOT TENSORFERRY_SANITIZE)
  # What it links would need the sanitizer, too.
  add_test(NAME install_test COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/install/install_test.sh ${PROJECT_BINARY_DIR} ${PROJECT_SOURCE_DIR})
  set_tests_properties(install_test PROPERTIES ENVIRONMENT "${TEST_ENVIRONMENT}" TIMEOUT ${TEST_TIMEOUT})
  # What is deployed is the release.
  foreach(TEST IN ITEMS image manifests monitoring pod_security settings systemd)
    tensorferry_python_test(deploy_${TEST}_test deploy/${TEST}_test.py)
  endforeach()
  set_tests_properties(deploy_image_test PROPERTIES SKIP_RETURN_CODE 77)
endif()
# These measure memory or use most of a core: alone they say what they mean.
set_tests_properties(e2e_memory_test PROPERTIES RUN_SERIAL ON)
