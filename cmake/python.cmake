# python.cmake - what a wheel holds beside the Python files: the library, and the commands that
# eet.convert and eet.inspect run. They are found beside the package.
install(PROGRAMS $<TARGET_FILE:eet> DESTINATION eet/lib RENAME $<TARGET_SONAME_FILE_NAME:eet>
  COMPONENT python)
install(PROGRAMS $<TARGET_FILE:eet-convert> $<TARGET_FILE:eet-inspect> DESTINATION eet/bin
  COMPONENT python)
