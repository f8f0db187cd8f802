# python.cmake - what a wheel holds beside the Python files: the library, and the commands that
# eet.convert and eet.inspect run. They are found beside the package. EET_PYTHON_BACKEND (a path, or
# ON) makes the wheel of the CUDA backend in its place.
if(EET_PYTHON_BACKEND)
  if(EET_PYTHON_BACKEND MATCHES "/") # was built before, of this tree
    install(FILES ${EET_PYTHON_BACKEND} DESTINATION eet_cuda COMPONENT python)
  else()
    install(TARGETS eet_cuda LIBRARY DESTINATION eet_cuda COMPONENT python)
  endif()
  return()
endif()
install(PROGRAMS $<TARGET_FILE:eet> DESTINATION eet/lib RENAME $<TARGET_SONAME_FILE_NAME:eet>
  COMPONENT python)
install(PROGRAMS $<TARGET_FILE:eet-convert> $<TARGET_FILE:eet-inspect> DESTINATION eet/bin
  COMPONENT python)

# cmake/wheel.sh puts the libraries of the commands into the wheel. Debian's shared HDF5 would bring
# libcurl and 25 more for a driver that nothing here opens: where the static one is, that is linked.
foreach(name hdf5_serial sz aec)
  find_library(EET_STATIC_${name} NAMES lib${name}.a)
  list(APPEND static ${EET_STATIC_${name}})
endforeach()
if(NOT static MATCHES NOTFOUND)
  set_target_properties(PkgConfig::HDF5 PROPERTIES INTERFACE_LINK_LIBRARIES
    "${static};PkgConfig::CRYPTO;PkgConfig::ZLIB;m;${CMAKE_DL_LIBS}")
  target_sources(eet-convert PRIVATE ${PROJECT_SOURCE_DIR}/converter/no_curl.c)
endif()

# Whose libraries go along, their terms do.
file(GLOB terms RELATIVE /usr/share/doc /usr/share/doc/libzip[0-9]*/copyright
  /usr/share/doc/libssl[0-9]*/copyright /usr/share/doc/libjansson[0-9]*/copyright
  /usr/share/doc/libbz2-*/copyright /usr/share/doc/libdeflate[0-9]*/copyright
  /usr/share/doc/libhdf5-[0-9]*/copyright /usr/share/doc/libaec[0-9]*/copyright
  /usr/share/doc/zlib1g/copyright)
list(FILTER terms EXCLUDE REGEX "-dev/")
foreach(file IN LISTS terms)
  cmake_path(GET file PARENT_PATH package)
  install(FILES /usr/share/doc/${file} DESTINATION eet/licenses RENAME ${package}.txt
    COMPONENT python)
endforeach()
