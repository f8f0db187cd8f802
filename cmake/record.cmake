# record.cmake - what an installation puts where, kept in the build folder for the uninstall: the
# files, and the folders that were not there before. One record for each DESTDIR and prefix; a
# second installation adds to it.

function(eet_record_path result)
  string(MD5 name "$ENV{DESTDIR}:${CMAKE_INSTALL_PREFIX}")
  set(${result} ${EET_RECORDS}/installed-${name}.txt PARENT_SCOPE)
endfunction()

# Lines of two letters and a path: "d PATH" and "f PATH".
function(eet_record lines)
  eet_record_path(record)
  set(known)
  if(EXISTS ${record})
    file(STRINGS ${record} known)
  endif()
  list(APPEND known ${lines})
  list(REMOVE_DUPLICATES known)
  list(SORT known)
  list(JOIN known "\n" text)
  file(WRITE ${record} "${text}\n")
endfunction()

function(eet_record_folders)
  set(lines)
  foreach(folder IN LISTS EET_DESTINATIONS)
    cmake_path(ABSOLUTE_PATH folder BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX})
    set(folder $ENV{DESTDIR}${folder})
    while(NOT EXISTS ${folder})
      list(APPEND lines "d ${folder}")
      cmake_path(GET folder PARENT_PATH folder)
    endwhile()
  endforeach()
  eet_record("${lines}")
endfunction()

function(eet_record_files)
  set(lines)
  foreach(file IN LISTS CMAKE_INSTALL_MANIFEST_FILES)
    list(APPEND lines "f $ENV{DESTDIR}${file}")
  endforeach()
  eet_record("${lines}")
endfunction()
