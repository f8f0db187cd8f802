# staging.cmake - CPack runs this when the files of the packages are in their folders, one for each
# component, and before it packs them: what Debian's policy wants and CPack does not do.
set(stage ${CPACK_TEMPORARY_DIRECTORY})
set(here ${CMAKE_CURRENT_LIST_DIR})
set(library ${CPACK_DEBIAN_RUNTIME_PACKAGE_NAME})
set(maintainer ${CPACK_PACKAGE_CONTACT})

function(run)
  execute_process(COMMAND ${ARGV} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# Manual pages, copyright and change log. string(TIMESTAMP) heeds SOURCE_DATE_EPOCH, gzip -n
# writes no time.
string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
foreach(component IN LISTS CPACK_COMPONENTS_ALL)
  string(TOUPPER ${component} upper)
  set(doc ${stage}/${component}/usr/share/doc/${CPACK_DEBIAN_${upper}_PACKAGE_NAME})
  configure_file(${here}/copyright.in ${doc}/copyright @ONLY)
  configure_file(${here}/changelog.in ${doc}/changelog @ONLY)
  file(GLOB pages ${stage}/${component}/usr/share/man/man*/*)
  run(chmod 0644 ${doc}/copyright ${doc}/changelog)
  run(gzip -9n ${pages} ${doc}/changelog)
endforeach()

file(GLOB_RECURSE archive ${stage}/development/*.a)
file(GLOB_RECURSE objects ${stage}/runtime/*.so.*.*)
file(GLOB commands ${stage}/tools/usr/bin/*)
run(strip --strip-debug --remove-section=.comment --enable-deterministic-archives ${archive})
run(strip --remove-section=.comment ${objects} ${commands})

configure_file(${here}/overrides.in ${stage}/runtime/usr/share/lintian/overrides/${library} @ONLY)
run(chmod 0644 ${stage}/runtime/usr/share/lintian/overrides/${library})

# The library's control files. CPack's own way to `shlibs` comes with calls of ldconfig, which a
# trigger replaced long ago; so dpkg's tools are asked here.
set(work ${stage}/control)
file(MAKE_DIRECTORY ${work}/debian)
file(WRITE ${work}/debian/control "Source: eet\n\nPackage: ${library}\nArchitecture: any\n")
file(WRITE ${work}/shlibs "libeet ${CPACK_EET_SONAME_MAJOR} ${library} (>= ${CPACK_PACKAGE_VERSION})\n")
file(WRITE ${work}/triggers "activate-noawait ldconfig\n")
execute_process(
  COMMAND dpkg-gensymbols -q -p${library} -v${CPACK_PACKAGE_VERSION} -P${stage}/runtime
    -O${work}/symbols -e${objects}
  WORKING_DIRECTORY ${work} OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND dpkg-shlibdeps -O -e${objects}
  WORKING_DIRECTORY ${work} OUTPUT_VARIABLE depends OUTPUT_STRIP_TRAILING_WHITESPACE
  COMMAND_ERROR_IS_FATAL ANY)
string(REGEX REPLACE "^.*Depends=" "" CPACK_DEBIAN_RUNTIME_PACKAGE_DEPENDS "${depends}")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA ${work}/shlibs ${work}/triggers ${work}/symbols)
