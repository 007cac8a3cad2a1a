# What `cmake --install` puts where. Relocatable but for the service unit and slotwire.pc, which name the prefix: --prefix sets both.
include(CMakePackageConfigHelpers)

install(TARGETS slotwired slotwire_program slotwire-page)
install(TARGETS slotwire-gate slotwire-keeper RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/slotwire)
install(TARGETS slotwire-opennic-host)
if(TARGET slotwire-xrt-host)
  install(TARGETS slotwire-xrt-host)
endif()
if(TARGET slotwire-dpdk)
  install(TARGETS slotwire-dpdk LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/slotwire)
endif()
if(TARGET slotwire-pmd)
  install(TARGETS slotwire-pmd LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/slotwire)
endif()
if(TARGET ngx_http_slotwire_module)
  install(TARGETS ngx_http_slotwire_module LIBRARY DESTINATION ${NGINX_MODULES_DIR})
  install(CODE "
    file(WRITE \"${CMAKE_BINARY_DIR}/install/mod-http-slotwire.conf\" \"load_module \${CMAKE_INSTALL_PREFIX}/${NGINX_MODULES_DIR}/ngx_http_slotwire_module.so;\\n\")
  ")
  install(FILES ${CMAKE_BINARY_DIR}/install/mod-http-slotwire.conf DESTINATION share/nginx/modules-available)
endif()
install(TARGETS slotwire slotwire_static slotwire_web EXPORT slotwire-targets
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES sw/runtime/client/include/slotwire.h sw/runtime/client/include/slotwire.hpp
              sw/runtime/client/include/slotwire_types.hpp sw/runtime/client/include/slotwire_server.hpp
              sw/runtime/client/include/slotwire_figures.hpp sw/runtime/client/include/slotwire_breaker.hpp
              sw/runtime/client/include/slotwire_blocks.h sw/runtime/client/include/slotwire_blocks.hpp
              sw/web/server/include/slotwire_web.hpp sw/web/server/include/slotwire_web_fields.hpp TYPE INCLUDE)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/slotwire)
install(EXPORT slotwire-targets NAMESPACE slotwire:: DESTINATION ${package_dir})
configure_package_config_file(packaging/cmake/slotwire-config.cmake.in ${CMAKE_BINARY_DIR}/slotwire-config.cmake
                              INSTALL_DESTINATION ${package_dir})
# Before 1.0 a minor release may change the ABI.
write_basic_package_version_file(${CMAKE_BINARY_DIR}/slotwire-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/slotwire-config.cmake ${CMAKE_BINARY_DIR}/slotwire-config-version.cmake
        DESTINATION ${package_dir})

# These two name the prefix, which is known when installing.
install(CODE "
  set(PROJECT_VERSION \"${PROJECT_VERSION}\")
  set(PROJECT_DESCRIPTION \"${PROJECT_DESCRIPTION}\")
  set(CMAKE_INSTALL_LIBDIR \"${CMAKE_INSTALL_LIBDIR}\")
  set(CMAKE_INSTALL_INCLUDEDIR \"${CMAKE_INSTALL_INCLUDEDIR}\")
  set(prefix \"\${CMAKE_INSTALL_PREFIX}\")
  configure_file(\"${PROJECT_SOURCE_DIR}/packaging/slotwire.pc.in\" \"${CMAKE_BINARY_DIR}/install/slotwire.pc\" @ONLY)
  file(READ \"${PROJECT_SOURCE_DIR}/packaging/slotwired.service\" unit)
  string(REPLACE /usr/bin/slotwired \"\${prefix}/${CMAKE_INSTALL_BINDIR}/slotwired\" unit \"\${unit}\")
  string(REPLACE /usr/share/doc/slotwire \"\${prefix}/${CMAKE_INSTALL_DOCDIR}\" unit \"\${unit}\")
  file(WRITE \"${CMAKE_BINARY_DIR}/install/slotwired.service\" \"\${unit}\")
  file(READ \"${PROJECT_SOURCE_DIR}/packaging/slotwire-page.service\" unit)
  string(REPLACE /usr/bin/slotwire-page \"\${prefix}/${CMAKE_INSTALL_BINDIR}/slotwire-page\" unit \"\${unit}\")
  string(REPLACE /usr/share/doc/slotwire \"\${prefix}/${CMAKE_INSTALL_DOCDIR}\" unit \"\${unit}\")
  file(WRITE \"${CMAKE_BINARY_DIR}/install/slotwire-page.service\" \"\${unit}\")
  file(READ \"${PROJECT_SOURCE_DIR}/packaging/slotwire-xrt@.service\" unit)
  string(REPLACE /usr/bin/slotwire-xrt-host \"\${prefix}/${CMAKE_INSTALL_BINDIR}/slotwire-xrt-host\" unit \"\${unit}\")
  string(REPLACE /usr/share/doc/slotwire \"\${prefix}/${CMAKE_INSTALL_DOCDIR}\" unit \"\${unit}\")
  file(WRITE \"${CMAKE_BINARY_DIR}/install/slotwire-xrt@.service\" \"\${unit}\")
")
install(FILES ${CMAKE_BINARY_DIR}/install/slotwire.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${CMAKE_BINARY_DIR}/install/slotwired.service DESTINATION lib/systemd/system)
install(FILES ${PROJECT_SOURCE_DIR}/packaging/sysusers.conf DESTINATION lib/sysusers.d RENAME slotwire.conf)
install(FILES ${CMAKE_BINARY_DIR}/install/slotwire-page.service DESTINATION lib/systemd/system)
install(FILES packaging/60-slotwire.rules DESTINATION lib/udev/rules.d)
install(FILES packaging/grafana/slotwire.json DESTINATION ${CMAKE_INSTALL_DATADIR}/slotwire/grafana)
if(TARGET slotwire-xrt-host)
  install(FILES "${CMAKE_BINARY_DIR}/install/slotwire-xrt@.service" DESTINATION lib/systemd/system)
endif()

file(GLOB man_pages CONFIGURE_DEPENDS packaging/man/*.[0-9])
foreach(page ${man_pages})
  string(REGEX MATCH "[0-9]$" section ${page})
  install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()
install(DIRECTORY docs/ TYPE DOC FILES_MATCHING PATTERN "*.md")
install(DIRECTORY examples TYPE DOC FILES_MATCHING PATTERN "*.toml" PATTERN "*.cpp" PATTERN "*.c")
install(FILES LICENSE TYPE DOC)
install(DIRECTORY sw/tools/dissector DESTINATION ${CMAKE_INSTALL_DATADIR}/slotwire FILES_MATCHING PATTERN "*.lua")
