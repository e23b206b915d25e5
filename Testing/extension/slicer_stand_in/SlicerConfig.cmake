# What our CMakeLists.txt use of Slicer's own CMake files, with the same effect on files:
# scripts and resources keep their place relative to a source folder, in the build tree first, and
# from there in the installation. Byte-compiling and testing are left out.

set(Slicer_QTSCRIPTEDMODULES_LIB_DIR lib/Slicer-5.12/qt-scripted-modules)
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR ${Slicer_QTSCRIPTEDMODULES_LIB_DIR})
set(Slicer_USE_FILE ${CMAKE_CURRENT_LIST_DIR}/nothing.cmake)
set(Slicer_EXTENSION_GENERATE_CONFIG ${CMAKE_CURRENT_LIST_DIR}/metadata.cmake)
set(Slicer_EXTENSION_CPACK ${CMAKE_CURRENT_LIST_DIR}/nothing.cmake)

function(_copy_and_install source_dir destination_dir install_dir)
  foreach(file IN LISTS ARGN)
    if(IS_ABSOLUTE ${file} OR NOT EXISTS ${source_dir}/${file})
      message(FATAL_ERROR "${file} is not a file in ${source_dir}")
    endif()
    configure_file(${source_dir}/${file} ${destination_dir}/${file} COPYONLY)
  endforeach()
  install(DIRECTORY ${destination_dir}/ DESTINATION ${install_dir})
endfunction()

function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY "WITH_GENERIC_TESTS" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MY_UNPARSED_ARGUMENTS OR NOT MY_NAME)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule(${ARGN})")
  endif()
  _copy_and_install(
    ${CMAKE_CURRENT_SOURCE_DIR}
    ${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}
    ${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}
    ${MY_SCRIPTS} ${MY_RESOURCES}
    )
endfunction()

function(ctkMacroCompilePythonScript)
  cmake_parse_arguments(MY
    "NO_INSTALL_SUBDIR" "TARGET_NAME;SOURCE_DIR;DESTINATION_DIR;INSTALL_DIR" "SCRIPTS;RESOURCES"
    ${ARGN}
    )
  if(MY_UNPARSED_ARGUMENTS OR NOT MY_NO_INSTALL_SUBDIR)
    message(FATAL_ERROR "ctkMacroCompilePythonScript(${ARGN})")
  endif()
  _copy_and_install(
    ${MY_SOURCE_DIR} ${MY_DESTINATION_DIR} ${MY_INSTALL_DIR} ${MY_SCRIPTS} ${MY_RESOURCES}
    )
endfunction()
