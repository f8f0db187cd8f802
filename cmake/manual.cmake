# manual.cmake - the pages of the manual and the completion of the commands. Those of a command
# come from the command itself, which has them from its option table.

# Every executable eet-* of these folders is a command and is installed.
function(eet_commands result)
  set(found)
  foreach(folder format engine converter)
    get_property(targets DIRECTORY ${PROJECT_SOURCE_DIR}/${folder} PROPERTY BUILDSYSTEM_TARGETS)
    foreach(target IN LISTS targets)
      get_target_property(type ${target} TYPE)
      if(type STREQUAL EXECUTABLE AND target MATCHES "^eet-")
        list(APPEND found ${target})
      endif()
    endforeach()
  endforeach()
  list(SORT found)
  set(${result} ${found} PARENT_SCOPE)
endfunction()

# Installs the page libeet(3), eet(5), and the page and the completion of each command.
function(eet_install_pages commands)
  set(out ${PROJECT_BINARY_DIR}/share)
  set(EET_SEE_ALSO "")
  foreach(command IN LISTS commands)
    string(APPEND EET_SEE_ALSO ".BR ${command} (1),\n")
  endforeach()
  string(REGEX REPLACE "-" "\\\\-" EET_SEE_ALSO "${EET_SEE_ALSO}")
  string(TIMESTAMP EET_DATE "%Y-%m-%d" UTC) # SOURCE_DATE_EPOCH, where that is set
  foreach(page libeet.3 eet.5)
    configure_file(${PROJECT_SOURCE_DIR}/docs/man/${page}.in ${out}/${page} @ONLY)
  endforeach()
  install(FILES ${out}/libeet.3 DESTINATION ${CMAKE_INSTALL_MANDIR}/man3 COMPONENT development)
  install(FILES ${out}/eet.5 DESTINATION ${CMAKE_INSTALL_MANDIR}/man5 COMPONENT tools)

  if(CMAKE_CROSSCOMPILING AND NOT CMAKE_CROSSCOMPILING_EMULATOR)
    message(STATUS "Commands cannot run here: their manual pages and completion are left out")
    return()
  endif()
  set(made)
  foreach(command IN LISTS commands)
    add_custom_command(OUTPUT ${out}/${command}.1 ${out}/${command}
      COMMAND ${command} --help=man > ${out}/${command}.1
      COMMAND ${command} --help=bash > ${out}/${command}
      DEPENDS ${command} COMMENT "Making the manual page of ${command}" VERBATIM)
    list(APPEND made ${out}/${command}.1 ${out}/${command})
    install(FILES ${out}/${command}.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT tools)
    install(FILES ${out}/${command} DESTINATION ${completion_dir} COMPONENT tools)
  endforeach()
  add_custom_target(eet_pages ALL DEPENDS ${made})
endfunction()
