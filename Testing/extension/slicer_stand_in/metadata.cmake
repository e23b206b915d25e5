# What Slicer's extensions manager would be told, for the test to read.
foreach(name HOMEPAGE CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  if("${EXTENSION_${name}}" STREQUAL "")
    message(FATAL_ERROR "EXTENSION_${name} is not set")
  endif()
  file(APPEND ${CMAKE_BINARY_DIR}/metadata.txt "${name}=${EXTENSION_${name}}\n")
endforeach()
file(APPEND ${CMAKE_BINARY_DIR}/metadata.txt "PROJECT=${PROJECT_NAME}\n")
