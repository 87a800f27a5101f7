# `cmake --install`: the programs, the libraries, their public headers, and the package for find_package(tensorferry).
include(CMakePackageConfigHelpers)
set(PACKAGE_DIRECTORY ${CMAKE_INSTALL_LIBDIR}/cmake/tensorferry)

get_property(EXPORTED_TARGETS GLOBAL PROPERTY TENSORFERRY_EXPORTED_TARGETS)
install(TARGETS ${EXPORTED_TARGETS} EXPORT tensorferry-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS tensorferry tensorferryd RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY lib/include/tensorferry client/include/tensorferry DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY proto/tensorferry DESTINATION ${CMAKE_INSTALL_DATADIR}/tensorferry/proto FILES_MATCHING PATTERN "*.proto")
install(EXPORT tensorferry-targets NAMESPACE tensorferry:: DESTINATION ${PACKAGE_DIRECTORY})

configure_package_config_file(deploy/build/tensorferry-config.cmake.in ${PROJECT_BINARY_DIR}/tensorferry-config.cmake
                              INSTALL_DESTINATION ${PACKAGE_DIRECTORY})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/tensorferry-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/tensorferry-config.cmake ${PROJECT_BINARY_DIR}/tensorferry-config-version.cmake
              deploy/build/dependencies.cmake
        DESTINATION ${PACKAGE_DIRECTORY})
