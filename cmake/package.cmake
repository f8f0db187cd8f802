# package.cmake - the Debian packages: cpack -G DEB, or `make package`.
#
# Their names are not libeet1 and libeet-dev: Debian has a libeet1, of the Enlightenment Foundation
# Libraries, with the same libeet.so.1, libeet.so and eet.pc inside. Who has that one cannot have
# ours beside it, and dpkg has to know.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME eet)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "") # each package has its own
set(CPACK_PACKAGE_CONTACT "EET maintainers <maintainers@users.noreply.r-seed-d253b9ff.example>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_COMPONENTS_ALL runtime development tools)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
  GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_TOOLS_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CMAKE_LIBRARY_OUTPUT_DIRECTORY})
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS ON)

set(about "EET turns checkpoints of Hugging Face Transformers and Fairseq
into one compact, versioned file and runs that file from C and from
the command line, without Python and without torch.")

set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME libeet-transformers${EET_ABI_MAJOR})
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONFLICTS libeet1)
set(CPACK_COMPONENT_RUNTIME_DESCRIPTION "library that runs .eet transformer models\n${about}
.
This package has the shared library.")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libeet-transformers-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_CONFLICTS libefl-all-dev)
set(CPACK_COMPONENT_DEVELOPMENT_DEPENDS runtime)
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "library that runs .eet transformer models - development files
${about}
.
This package has the headers, the static library, and what CMake and
pkg-config need.")

set(CPACK_DEBIAN_TOOLS_PACKAGE_NAME eet-tools)
set(CPACK_DEBIAN_TOOLS_PACKAGE_SECTION science)
set(CPACK_COMPONENT_TOOLS_DEPENDS runtime)
set(CPACK_COMPONENT_TOOLS_DESCRIPTION "commands that make, check and run .eet transformer models
${about}
.
This package has the commands, their manual pages and their completion.")

set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/debian/staging.cmake)
set(CPACK_EET_SONAME_MAJOR ${EET_ABI_MAJOR}) # for staging.cmake
include(CPack)
