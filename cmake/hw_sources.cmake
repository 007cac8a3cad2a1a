# Reads hw/sources.list, the one list of the hardware's sources.

# slotwire_hw_sources(VARIABLE EXTENSIONS .ext... [SETS set...]): absolute paths of the files with one of the extensions, of these sets
# or of all, in the order of the list.
set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/hw/sources.list)
function(slotwire_hw_sources variable)
  cmake_parse_arguments(ARG "" "" "EXTENSIONS;SETS" ${ARGN})
  file(STRINGS ${PROJECT_SOURCE_DIR}/hw/sources.list lines REGEX "^[a-z_]+ +[^ ]+$")
  set(found)
  foreach(line ${lines})
    string(REGEX MATCH "^([a-z_]+) +([^ ]+)$" matched "${line}")
    set(set ${CMAKE_MATCH_1})
    set(file ${CMAKE_MATCH_2})
    get_filename_component(extension ${file} LAST_EXT)
    if(extension IN_LIST ARG_EXTENSIONS AND (NOT ARG_SETS OR set IN_LIST ARG_SETS))
      list(APPEND found ${PROJECT_SOURCE_DIR}/hw/${file})
    endif()
  endforeach()
  set(${variable} ${found} PARENT_SCOPE)
endfunction()
