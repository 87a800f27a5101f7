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
  PYTHONPATH=${CMAKE_CURRENT_SOURCE_DIR}/e2e # harness.py and other modules of the tests
  TENSORFERRY_BIN_DIR=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}
  TENSORFERRY_PROTO_DIR=${PROJECT_SOURCE_DIR}/proto)

# The common part of all gtest programs. Its headers are precompiled once, which needs equal compile options everywhere.
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

# tensorferry_test(NAME SOURCES ... LIBRARIES ... [ENVIRONMENT ...]): a program, and a ctest entry for each of its cases,
# NAME.Suite.Case. That of a TEST_P runs all its parameters. .ci/ctest_names.py compares the entries with the program.
function(tensorferry_test NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBRARIES;ENVIRONMENT" ${ARGN})
  add_executable(${NAME} ${ARG_SOURCES})
  set_target_properties(${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  target_link_libraries(${NAME} PRIVATE ${ARG_LIBRARIES} tensorferry_gtest_main)
  target_precompile_headers(${NAME} REUSE_FROM tensorferry_gtest_main)
  # The sources name the cases: a program would have to be built, and takes as long to list its cases as to run one.
  set(CASES)
  foreach(SOURCE IN LISTS ARG_SOURCES)
    cmake_path(ABSOLUTE_PATH SOURCE NORMALIZE)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${SOURCE})
    file(READ ${SOURCE} TEXT)
    string(REGEX MATCHALL "\nTEST(_F|_P)?\\([A-Za-z0-9]+, *[A-Za-z0-9]+\\)" FOUND "${TEXT}")
    foreach(HEAD IN LISTS FOUND)
      string(REGEX REPLACE ".*\\((.*), *(.*)\\)" "\\1.\\2" CASE "${HEAD}")
      if(HEAD MATCHES "TEST_P")
        set(FILTER "${CASE}/*:*/${CASE}/*") # instantiated without and with a prefix
      else()
        set(FILTER ${CASE})
      endif()
      add_test(NAME ${NAME}.${CASE} COMMAND ${NAME} --gtest_filter=${FILTER})
      list(APPEND CASES ${NAME}.${CASE})
    endforeach()
  endforeach()
  # A filter that matches nothing is no success.
  set_tests_properties(${CASES} PROPERTIES
    ENVIRONMENT "${TEST_ENVIRONMENT};${ARG_ENVIRONMENT}" TIMEOUT ${TEST_TIMEOUT}
    FAIL_REGULAR_EXPRESSION "Running 0 tests from 0 test suites")
endfunction()

# Programs of the Python tests may end while gRPC is still at work, and leave behind what its libraries hold then.
set(SHORT_PROGRAMS LSAN_OPTIONS=print_suppressions=0:suppressions=${CMAKE_CURRENT_SOURCE_DIR}/testing/lsan.supp)

# tensorferry_python_test(NAME SCRIPT ARGUMENTS...): one ctest entry for all methods of a script.
function(tensorferry_python_test NAME SCRIPT)
  add_test(NAME ${NAME} COMMAND ${TENSORFERRY_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/${SCRIPT} ${ARGN})
  set_tests_properties(${NAME} PROPERTIES ENVIRONMENT "${TEST_ENVIRONMENT};${SHORT_PROGRAMS}" TIMEOUT ${TEST_TIMEOUT})
endfunction()

# tensorferry_python_methods(NAME SCRIPT [PROPERTY VALUE]...): one ctest entry for each method, NAME.Class.method. Each
# takes Python 0.3 s to import numpy and gRPC: for scripts whose methods take longer than that and share no setUpClass.
function(tensorferry_python_methods NAME SCRIPT)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${SCRIPT})
  file(READ ${SCRIPT} TEXT)
  string(REGEX MATCHALL "\n(class [A-Za-z0-9_]+|    def test_[A-Za-z0-9_]+)" FOUND "${TEXT}")
  foreach(HEAD IN LISTS FOUND)
    string(REGEX REPLACE ".* " "" WORD "${HEAD}")
    if(HEAD MATCHES "class ")
      set(CLASS ${WORD})
      continue()
    endif()
    set(METHOD ${NAME}.${CLASS}.${WORD})
    tensorferry_python_test(${METHOD} ${SCRIPT} ${CLASS}.${WORD})
    if(ARGN)
      set_tests_properties(${METHOD} PROPERTIES ${ARGN})
    endif()
  endforeach()
endfunction()

# lib
tensorferry_test(text_test
  SOURCES lib/text/glob_test.cc lib/text/help_text_test.cc lib/text/quote_test.cc
  LIBRARIES tensorferry::text)
tensorferry_test(checksum_test
  SOURCES lib/checksum/crc32c_combine_test.cc lib/checksum/crc32c_test.cc lib/checksum/memcpy_crc32c_test.cc
          lib/checksum/sha256_test.cc
  LIBRARIES tensorferry::checksum)
tensorferry_test(net_test SOURCES lib/net/endpoint_test.cc LIBRARIES tensorferry::net)
tensorferry_test(files_test SOURCES lib/files/block_cache_test.cc lib/files/mapped_file_test.cc LIBRARIES tensorferry::files tensorferry::checksum)
tensorferry_test(tensor_test
  SOURCES lib/tensor/dtype_test.cc lib/tensor/slice_plan_oracle_test.cc lib/tensor/slice_plan_test.cc
          lib/tensor/slice_test.cc
  LIBRARIES tensorferry::tensor)
tensorferry_test(tls_test SOURCES lib/tls/pem_test.cc LIBRARIES tensorferry::tls tensorferry_test_certificates)
tensorferry_test(safetensors_test
  SOURCES lib/safetensors/file_test.cc lib/safetensors/header_cases_json.cc
          lib/safetensors/header_cases_tensors.cc lib/safetensors/header_mutation_test.cc
          lib/safetensors/header_test.cc lib/safetensors/index_test.cc lib/safetensors/model_test.cc
          lib/safetensors/name_order_test.cc lib/safetensors/writer_test.cc
  LIBRARIES tensorferry::safetensors)
tensorferry_test(catalog_test
  SOURCES lib/catalog/catalog_test.cc lib/catalog/catalog_tree_test.cc lib/catalog/file_loader_test.cc
          lib/catalog/generation_test.cc
          lib/catalog/instance_test.cc lib/catalog/known_digest_test.cc lib/catalog/reload_broken_test.cc
          lib/catalog/reload_test.cc lib/catalog/replacement_test.cc
  LIBRARIES tensorferry::safetensors)
tensorferry_test(wire_test
  SOURCES lib/wire/chunk_test.cc lib/wire/retry_info_test.cc
  LIBRARIES tensorferry::wire tensorferry::checksum)

# client
tensorferry_test(client_channel_test
  SOURCES client/channel/automatic_connections_test.cc client/channel/call_error_test.cc
          client/channel/retry_policy_test.cc client/channel/server_address_test.cc
  LIBRARIES tensorferry::client_channel)
tensorferry_test(client_fetch_test
  SOURCES client/fetch/assembler_test.cc client/fetch/checksum_comparison_test.cc client/fetch/manifest_test.cc
          client/fetch/read_tracker_test.cc client/fetch/request_planner_test.cc client/fetch/resume_test.cc
          client/fetch/running_crc_test.cc testing/fault_server.cc
  LIBRARIES tensorferry::client tensorferry::client_fetch)
add_subdirectory(client/cuda)

# server
tensorferry_test(server_log_test SOURCES server/log/log_test.cc LIBRARIES tensorferry_server_log)
tensorferry_test(server_net_test
  SOURCES server/net/listen_address_test.cc server/net/listening_sockets_test.cc
  LIBRARIES tensorferry_server_net)
tensorferry_test(server_security_test
  SOURCES server/security/authorizer_test.cc server/security/reloading_files_test.cc
          server/security/secret_digest_test.cc server/security/token_file_test.cc server/security/token_table_test.cc
  LIBRARIES tensorferry_server_security)
tensorferry_test(server_reload_test
  SOURCES server/reload/catalog_log_test.cc server/reload/scan_schedule_test.cc server/reload/watcher_test.cc
  LIBRARIES tensorferry_server_reload)
tensorferry_test(server_admin_test
  SOURCES server/admin/accept_check_test.cc
  LIBRARIES tensorferry_server_admin)
tensorferry_test(server_app_test SOURCES server/app/process_state_test.cc LIBRARIES tensorferry_server_app)
tensorferry_test(server_service_test SOURCES server/service/page_test.cc LIBRARIES tensorferry_server_service)
tensorferry_test(server_stream_test
  SOURCES server/stream/confirmation_test.cc server/stream/limiter_test.cc
          server/stream/message_maker_checksum_test.cc server/stream/message_maker_failure_test.cc
          server/stream/message_maker_slice_test.cc server/stream/message_maker_test.cc
          server/stream/message_maker_window_test.cc server/stream/message_packer_test.cc
          server/stream/read_ahead_test.cc server/stream/sender_test.cc server/stream/worker_pool_test.cc
  LIBRARIES tensorferry_server_stream tensorferry::wire tensorferry::checksum)

# Server and client in one process.
set(SERVER_AND_CLIENT tensorferry::server tensorferry::client)
tensorferry_test(fetch_test SOURCES e2e/fetch/fetch_test.cc LIBRARIES ${SERVER_AND_CLIENT})
tensorferry_test(identity_test
  SOURCES e2e/fetch/confirmation_test.cc e2e/fetch/identity_test.cc testing/cutting_proxy.cc
  LIBRARIES ${SERVER_AND_CLIENT})
tensorferry_test(cut_test
  SOURCES e2e/faults/cut_test.cc e2e/faults/failover_test.cc testing/cutting_proxy.cc
  LIBRARIES ${SERVER_AND_CLIENT})
tensorferry_test(slow_storage_test SOURCES e2e/faults/slow_storage_test.cc LIBRARIES ${SERVER_AND_CLIENT})
tensorferry_test(secure_fetch_test
  SOURCES e2e/tls/secure_fetch_test.cc
  LIBRARIES ${SERVER_AND_CLIENT} tensorferry_test_certificates)


tensorferry_python_test(benchmark_plot_test benchmarks/plot_test.py)
tensorferry_python_test(reference_test lib/safetensors/reference_test.py $<TARGET_FILE:tensorferry>)
list(APPEND TEST_ENVIRONMENT TENSORFERRY_FAKE_CUDA_DIR=${PROJECT_BINARY_DIR}/tests/fake_cuda)
# For a real GPU; with little to do also on the fake driver, so that it runs when one is there.
tensorferry_python_test(cuda_gpu_bench_test e2e/cli/gpu_bench_test.py)
set_tests_properties(cuda_gpu_bench_test PROPERTIES
  RUN_SERIAL ON TIMEOUT 1200 SKIP_REGULAR_EXPRESSION "not tested on a GPU")
tensorferry_python_test(cuda_bench_test e2e/cli/gpu_bench_test.py)
set_property(TEST cuda_bench_test APPEND PROPERTY ENVIRONMENT
  LD_LIBRARY_PATH=${PROJECT_BINARY_DIR}/tests/fake_cuda TENSORFERRY_GPU_BENCH_MIB=4)

# Programs as users run them.
if(NOT TENSORFERRY_SANITIZE)
  set(SPLIT_BY_METHOD admin changing_files cli_errors drain kill limits reload reload_broken resume scarce tls_rotation)
endif()
function(tensorferry_e2e_tests FOLDER)
  foreach(SCRIPT IN LISTS ARGN)
    if(SCRIPT IN_LIST SPLIT_BY_METHOD)
      tensorferry_python_methods(e2e_${SCRIPT}_test e2e/${FOLDER}/${SCRIPT}_test.py)
    else()
      tensorferry_python_test(e2e_${SCRIPT}_test e2e/${FOLDER}/${SCRIPT}_test.py)
    endif()
  endforeach()
endfunction()
tensorferry_e2e_tests(cli cli_device cli_errors cli_get cli_list cli_pull pull_identity)
tensorferry_e2e_tests(cluster replicas)
tensorferry_e2e_tests(faults kill limits resume scarce slow_network)
tensorferry_e2e_tests(fetch compatibility listing proto_readme real_model sharded_model slice_oracle stock_client)
tensorferry_e2e_tests(reload changing_files reload reload_broken)
tensorferry_e2e_tests(server admin config drain log server_process)
tensorferry_e2e_tests(tls proxy tls tls_rotation token)
set_tests_properties(e2e_compatibility_test PROPERTIES SKIP_RETURN_CODE 77) # without tests/previous.sh
if(NOT TENSORFERRY_SANITIZE)
  # The example programs would need the sanitizer, too.
  add_test(NAME install_test COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/install/install_test.sh ${PROJECT_BINARY_DIR} ${PROJECT_SOURCE_DIR})
  set_tests_properties(install_test PROPERTIES ENVIRONMENT "${TEST_ENVIRONMENT}" TIMEOUT ${TEST_TIMEOUT})
  # Only the release is deployed.
  foreach(TEST IN ITEMS image manifests monitoring pod_security settings systemd)
    tensorferry_python_test(deploy_${TEST}_test deploy/${TEST}_test.py)
  endforeach()
  set_tests_properties(deploy_image_test PROPERTIES SKIP_RETURN_CODE 77)
endif()
# These measure memory or use most of a core: alone they say what they mean.
tensorferry_python_methods(e2e_memory_test e2e/faults/memory_test.py RUN_SERIAL ON)
