# install.cmake - what goes where: the library both ways, its headers, its CMake and pkg-config
# packages, the commands, manual pages and completion. `make install` is cmake/install.sh.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
include(${CMAKE_CURRENT_LIST_DIR}/manual.cmake)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/EET)
set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
set(header_dir ${CMAKE_INSTALL_INCLUDEDIR}/eet)
set(completion_dir ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)

# Before the files: which of their folders are not there yet, for the uninstall.
set(destinations ${CMAKE_INSTALL_BINDIR} ${package_dir} ${pkgconfig_dir} ${header_dir}
  ${CMAKE_INSTALL_MANDIR}/man1 ${CMAKE_INSTALL_MANDIR}/man3 ${CMAKE_INSTALL_MANDIR}/man5
  ${completion_dir})
install(CODE "set(EET_RECORDS \"${PROJECT_BINARY_DIR}\")
set(EET_DESTINATIONS \"${destinations}\")
include(\"${CMAKE_CURRENT_LIST_DIR}/record.cmake\")
eet_record_folders()")

# The dynamic linker knows the libraries of /usr. Below any other prefix the commands find theirs
# from where they are, so that it can be moved.
set(rpath "")
if(NOT CMAKE_INSTALL_PREFIX MATCHES "^/usr/*$")
  file(RELATIVE_PATH from_bin ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
  set(rpath "\$ORIGIN/${from_bin}")
endif()

eet_commands(commands)
foreach(command IN LISTS commands)
  get_target_property(libraries ${command} LINK_LIBRARIES)
  if("eet" IN_LIST libraries)
    set_target_properties(${command} PROPERTIES INSTALL_RPATH "${rpath}")
  endif()
endforeach()
install(TARGETS ${commands} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tools)

install(TARGETS eet EXPORT EETTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT development)
install(TARGETS eet_static EXPORT EETTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(FILES ${EET_PUBLIC_HEADERS} DESTINATION ${header_dir} COMPONENT development)

install(EXPORT EETTargets NAMESPACE EET:: DESTINATION ${package_dir} COMPONENT development)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/EETConfig.cmake.in
  ${PROJECT_BINARY_DIR}/EETConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/EETConfigVersion.cmake
  COMPATIBILITY SameMajorVersion)
install(FILES ${PROJECT_BINARY_DIR}/EETConfig.cmake ${PROJECT_BINARY_DIR}/EETConfigVersion.cmake
  DESTINATION ${package_dir} COMPONENT development)

# Folders of the .pc are told from where it lies.
if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
  set(pc_prefix ${CMAKE_INSTALL_PREFIX})
else()
  file(RELATIVE_PATH from_pc /p/${pkgconfig_dir} /p)
  string(REGEX REPLACE "/$" "" pc_prefix "\${pcfiledir}/${from_pc}")
endif()
foreach(which LIBDIR INCLUDEDIR)
  if(IS_ABSOLUTE ${CMAKE_INSTALL_${which}})
    set(pc_${which} ${CMAKE_INSTALL_${which}})
  else()
    set(pc_${which} "\${prefix}/${CMAKE_INSTALL_${which}}")
  endif()
endforeach()
configure_file(${CMAKE_CURRENT_LIST_DIR}/eet.pc.in ${PROJECT_BINARY_DIR}/eet.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/eet.pc DESTINATION ${pkgconfig_dir} COMPONENT development)

eet_install_pages("${commands}")

install(CODE "eet_record_files()")
if(PROJECT_IS_TOP_LEVEL)
  add_custom_target(uninstall
    COMMAND ${CMAKE_COMMAND} -D EET_RECORDS=${PROJECT_BINARY_DIR}
      -D CMAKE_INSTALL_PREFIX=${CMAKE_INSTALL_PREFIX} -P ${CMAKE_CURRENT_LIST_DIR}/uninstall.cmake
    COMMENT "Removing what was installed in ${CMAKE_INSTALL_PREFIX}" VERBATIM)
endif()
