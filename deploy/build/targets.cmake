# Functions for our own libraries and programs: warnings, include directories and names.

add_library(tensorferry_options INTERFACE)
target_compile_options(tensorferry_options INTERFACE -Wall -Wextra -Wpedantic -Wconversion)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(tensorferry_options INTERFACE -Wthread-safety) # presets asan, tsan and fuzz
endif()
if(TENSORFERRY_WARNINGS_AS_ERRORS)
  target_compile_options(tensorferry_options INTERFACE -Werror)
endif()

# tensorferry_internal_library(NAME [GRPC] SOURCES ... PUBLIC ... PRIVATE ... INCLUDE ...): the library tensorferry_NAME of
# a folder. GRPC: its sources include gRPC's headers, which are precompiled once for all such libraries.
function(tensorferry_internal_library NAME)
  cmake_parse_arguments(ARG "GRPC" "" "SOURCES;PUBLIC;PRIVATE;INCLUDE" ${ARGN})
  add_library(tensorferry_${NAME} STATIC ${ARG_SOURCES})
  target_compile_features(tensorferry_${NAME} PUBLIC cxx_std_20)
  foreach(DIRECTORY IN LISTS ARG_INCLUDE)
    target_include_directories(tensorferry_${NAME} PUBLIC $<BUILD_INTERFACE:${DIRECTORY}>
                                                          $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  endforeach()
  target_include_directories(tensorferry_${NAME} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(tensorferry_${NAME} PUBLIC ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE}
                                            $<BUILD_INTERFACE:tensorferry_options>)
  if(ARG_GRPC)
    target_link_libraries(tensorferry_${NAME} PRIVATE fmt::fmt gRPC::grpc++)
    target_precompile_headers(tensorferry_${NAME} REUSE_FROM tensorferry_grpc_precompiled)
  endif()
endfunction()

# tensorferry_library(NAME ...): the same, also known as tensorferry::NAME and exported on install.
function(tensorferry_library NAME)
  tensorferry_internal_library(${NAME} ${ARGN})
  add_library(tensorferry::${NAME} ALIAS tensorferry_${NAME})
  set_target_properties(tensorferry_${NAME} PROPERTIES EXPORT_NAME ${NAME})
  set_property(GLOBAL APPEND PROPERTY TENSORFERRY_EXPORTED_TARGETS tensorferry_${NAME})
endfunction()

# tensorferry_program(NAME SOURCES ... LIBRARIES ...)
function(tensorferry_program NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${NAME} ${ARG_SOURCES})
  target_include_directories(${NAME} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${NAME} PRIVATE ${ARG_LIBRARIES} tensorferry_options)
  if(TENSORFERRY_TCMALLOC)
    # gRPC allocates every slice that it receives. tcmalloc keeps these pages, glibc maps and unmaps them: with tcmalloc,
    # the rate is twice as high.
    target_link_libraries(${NAME} PRIVATE PkgConfig::TENSORFERRY_TCMALLOC_LIBRARY)
  endif()
endfunction()

if(TENSORFERRY_TCMALLOC)
  pkg_check_modules(TENSORFERRY_TCMALLOC_LIBRARY REQUIRED IMPORTED_TARGET libtcmalloc_minimal)
endif()
