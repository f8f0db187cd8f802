# uninstall.cmake - removes what record.cmake noted for this DESTDIR and prefix: the files, then the
# folders that the installation made, unless somebody has put something into them.
include(${CMAKE_CURRENT_LIST_DIR}/record.cmake)

eet_record_path(record)
if(NOT EXISTS ${record})
  message(FATAL_ERROR "This build has installed nothing in $ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}; \
install there again, and the uninstall knows what to remove")
endif()
file(STRINGS ${record} lines)
list(SORT lines ORDER DESCENDING) # f before d, and what is inside a folder before the folder
set(folders)
foreach(line IN LISTS lines)
  string(SUBSTRING "${line}" 2 -1 path)
  if(line MATCHES "^f ")
    file(REMOVE ${path})
    if(EXISTS ${path} OR IS_SYMLINK ${path})
      message(FATAL_ERROR "${path} could not be removed")
    endif()
  elseif(IS_DIRECTORY ${path})
    list(APPEND folders ${path})
  endif()
endforeach()
if(folders)
  execute_process(COMMAND rmdir --ignore-fail-on-non-empty -- ${folders} COMMAND_ERROR_IS_FATAL ANY)
endif()
file(REMOVE ${record})
