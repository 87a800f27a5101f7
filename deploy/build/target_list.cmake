# SPDX-License-Identifier: Apache-2.0
#
# Writes targets.json into the build directory: sources and links of our targets. .ci/includes.py compares them with the
# includes. Include this file last in the top CMakeLists.txt, when all targets exist.

# Sets RESULT to the targets of DIRECTORY and of the directories below it.
function(tensorferry_all_targets DIRECTORY RESULT)
  get_property(FOUND DIRECTORY ${DIRECTORY} PROPERTY BUILDSYSTEM_TARGETS)
  get_property(SUBDIRECTORIES DIRECTORY ${DIRECTORY} PROPERTY SUBDIRECTORIES)
  foreach(SUBDIRECTORY IN LISTS SUBDIRECTORIES)
    tensorferry_all_targets(${SUBDIRECTORY} BELOW)
    list(APPEND FOUND ${BELOW})
  endforeach()
  set(${RESULT} ${FOUND} PARENT_SCOPE)
endfunction()

# Sets RESULT to a JSON array of the strings in ARGN.
function(tensorferry_json_array RESULT)
  set(ARRAY "[]")
  set(INDEX 0)
  foreach(ITEM IN LISTS ARGN)
    string(JSON ARRAY SET "${ARRAY}" ${INDEX} "\"${ITEM}\"")
    math(EXPR INDEX "${INDEX} + 1")
  endforeach()
  set(${RESULT} "${ARRAY}" PARENT_SCOPE)
endfunction()

# Sets RESULT to the items of a property of TARGET, with the true names of ALIAS targets.
function(tensorferry_links TARGET PROPERTY RESULT)
  get_property(VALUES TARGET ${TARGET} PROPERTY ${PROPERTY})
  set(LINKS)
  foreach(ITEM IN LISTS VALUES)
    # PRIVATE links of a static library: $<LINK_ONLY:name>; links that are not exported: $<BUILD_INTERFACE:name>.
    string(REGEX REPLACE "^(.*[<:])?([A-Za-z0-9_]+::[A-Za-z0-9_]+)(>*)$" "\\2" NAME "${ITEM}")
    if(TARGET "${NAME}")
      get_property(ALIASED TARGET ${NAME} PROPERTY ALIASED_TARGET)
      if(ALIASED)
        string(REPLACE "${NAME}" "${ALIASED}" ITEM "${ITEM}")
      endif()
    endif()
    list(APPEND LINKS "${ITEM}")
  endforeach()
  set(${RESULT} "${LINKS}" PARENT_SCOPE)
endfunction()

function(tensorferry_write_targets FILE)
  tensorferry_all_targets(${PROJECT_SOURCE_DIR} TARGETS)
  set(JSON "{}")
  foreach(TARGET IN LISTS TARGETS)
    get_property(DIRECTORY TARGET ${TARGET} PROPERTY SOURCE_DIR)
    get_property(SOURCES TARGET ${TARGET} PROPERTY SOURCES)
    tensorferry_links(${TARGET} LINK_LIBRARIES LINKS)
    tensorferry_links(${TARGET} INTERFACE_LINK_LIBRARIES INTERFACE_LINKS)
    string(JSON JSON SET "${JSON}" ${TARGET} "{}")
    string(JSON JSON SET "${JSON}" ${TARGET} directory "\"${DIRECTORY}\"")
    foreach(LIST IN ITEMS SOURCES LINKS INTERFACE_LINKS)
      tensorferry_json_array(ARRAY ${${LIST}})
      string(TOLOWER ${LIST} KEY)
      string(JSON JSON SET "${JSON}" ${TARGET} ${KEY} "${ARRAY}")
    endforeach()
  endforeach()
  file(WRITE ${FILE} "${JSON}\n")
endfunction()

tensorferry_write_targets(${PROJECT_BINARY_DIR}/targets.json)
