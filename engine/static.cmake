# static.cmake - libeet.a: the objects of libeet.so joined into one, in which what is hidden there is
# local, so that a program that links it sees the functions of eet.h and no other name.
set(parts $<TARGET_OBJECTS:eet_types> $<TARGET_OBJECTS:eet_format> $<TARGET_OBJECTS:eet_kernels>
  $<TARGET_OBJECTS:eet_engine>)
set(joined ${CMAKE_CURRENT_BINARY_DIR}/libeet.o)
set(join ${CMAKE_C_COMPILER} -r -nostdlib)
if(CMAKE_C_COMPILER_ID STREQUAL GNU)
  list(APPEND join -flinker-output=nolto-rel) # machine code, even of objects made with -flto
endif()
add_custom_command(OUTPUT ${joined}
  COMMAND ${join} -o ${joined} ${parts}
  COMMAND ${CMAKE_OBJCOPY} --localize-hidden ${joined}
  DEPENDS ${parts} COMMAND_EXPAND_LISTS COMMENT "Joining the objects of libeet.a" VERBATIM)

set_source_files_properties(${joined} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
add_library(eet_static STATIC ${joined})
target_include_directories(eet_static PUBLIC
  $<TARGET_PROPERTY:eet,INTERFACE_INCLUDE_DIRECTORIES>)
target_link_libraries(eet_static PUBLIC Threads::Threads m ${CMAKE_DL_LIBS})
set_target_properties(eet_static PROPERTIES OUTPUT_NAME eet LINKER_LANGUAGE C
  ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_LIBRARY_OUTPUT_DIRECTORY})
add_library(EET::eet_static ALIAS eet_static)
