# Verilated models. Without Verilator the rest builds; every part that needs one adds a skipped test that says so.
find_program(SLOTWIRE_VERILATOR verilator)
find_package(ZLIB QUIET)
set(SLOTWIRE_NO_VERILATOR "verilator or zlib was not found when the build was configured (scripts/install-deps)")
if(NOT ZLIB_FOUND)
  unset(SLOTWIRE_VERILATOR CACHE)
endif()
if(NOT SLOTWIRE_VERILATOR)
  message(STATUS "Left out: everything that simulates the hardware; ${SLOTWIRE_NO_VERILATOR}")
endif()

# slotwire_skipped_test(name LABEL label REASON text): a test that cannot run here. It says why and counts as skipped.
function(slotwire_skipped_test name)
  cmake_parse_arguments(ARG "" "LABEL;REASON" "" ${ARGN})
  add_test(NAME ${name} COMMAND ${CMAKE_COMMAND} -E echo "SKIPPED: ${ARG_REASON}")
  set_tests_properties(${name} PROPERTIES LABELS ${ARG_LABEL} SKIP_REGULAR_EXPRESSION "SKIPPED")
endfunction()

include(${CMAKE_CURRENT_LIST_DIR}/hw_sources.cmake)
# What a source may name without listing it: every module of hw/sources.list, and those of the simulation by their file names.
slotwire_hw_sources(SLOTWIRE_RTL_MODULES EXTENSIONS .sv .v)
list(FILTER SLOTWIRE_RTL_MODULES EXCLUDE REGEX "_pkg\\.sv$")
slotwire_hw_sources(SLOTWIRE_RTL_PACKAGE EXTENSIONS .sv SETS package)
set(SLOTWIRE_RTL_SIM ${PROJECT_SOURCE_DIR}/sim/rtl)
set(SLOTWIRE_RTL_INCLUDE ${PROJECT_SOURCE_DIR}/hw/shells/xrt)
slotwire_hw_sources(headers EXTENSIONS .svh .vh)
foreach(header ${headers})
  get_filename_component(directory ${header} DIRECTORY)
  list(APPEND SLOTWIRE_RTL_INCLUDE ${directory})
endforeach()
list(REMOVE_DUPLICATES SLOTWIRE_RTL_INCLUDE)

# slotwire_rtl_library(VARIABLE sources...): arguments by which Verilator finds every module that is not among the sources.
function(slotwire_rtl_library variable)
  set(names)
  foreach(source ${ARGN})
    get_filename_component(name ${source} NAME_WE)
    list(APPEND names ${name})
  endforeach()
  set(arguments -y ${SLOTWIRE_RTL_SIM})
  foreach(directory ${SLOTWIRE_RTL_INCLUDE})
    list(APPEND arguments +incdir+${directory})
  endforeach()
  foreach(module ${SLOTWIRE_RTL_MODULES})
    get_filename_component(name ${module} NAME_WE)
    if(NOT name IN_LIST names)
      list(APPEND arguments -v ${module})
    endif()
  endforeach()
  set(${variable} ${arguments} PARENT_SCOPE)
endfunction()

set(SLOTWIRE_LINT_WAIVERS ${PROJECT_SOURCE_DIR}/hw/lint/waivers.vlt)

# Verilator's run-time library with coverage and FST traces, built once for all models.
function(_slotwire_verilated_runtime)
  if(TARGET slotwire_verilated)
    return()
  endif()
  execute_process(COMMAND ${SLOTWIRE_VERILATOR} --getenv VERILATOR_ROOT OUTPUT_VARIABLE verilator_root
                  OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  set(include ${verilator_root}/include)
  add_library(slotwire_verilated STATIC EXCLUDE_FROM_ALL
              ${include}/verilated.cpp ${include}/verilated_threads.cpp ${include}/verilated_dpi.cpp
              ${include}/verilated_cov.cpp ${include}/verilated_fst_c.cpp)
  target_include_directories(slotwire_verilated SYSTEM PUBLIC ${include} ${include}/vltstd)
  target_compile_definitions(slotwire_verilated PUBLIC VM_SC=0)
  target_compile_options(slotwire_verilated PRIVATE -w -g0)
  target_link_libraries(slotwire_verilated PUBLIC Threads::Threads ZLIB::ZLIB)
endfunction()

# slotwire_verilate(NAME lib TOP module SOURCES files... [PARAMS k=v...] [DEFINES k[=v]...] [ARGS arguments...]
#                   [TRACE] [COVERAGE]):
# a static library `lib` with the class V<lib> (header "V<lib>.h") of module TOP. SOURCES are packages first, then what is not
# in hw/sources.list or replaces it; a relative name is relative to the calling list file. PARAMS override TOP's parameters.
# Registers without a reset start with random values: call Verilated::randReset(2) and randSeed before the model is made.
# TRACE: FST waveforms (about ten times slower). COVERAGE: line and toggle coverage. Call it only if SLOTWIRE_VERILATOR is set.
function(slotwire_verilate)
  cmake_parse_arguments(ARG "TRACE;COVERAGE" "NAME;TOP" "SOURCES;PARAMS;DEFINES;ARGS" ${ARGN})
  _slotwire_verilated_runtime()
  set(directory ${CMAKE_CURRENT_BINARY_DIR}/${ARG_NAME}.verilated)
  set(arguments --top-module ${ARG_TOP} -Wall --assert --x-assign unique --x-initial unique --threads 1 -O3
                +define+SIMULATION ${SLOTWIRE_LINT_WAIVERS})
  slotwire_rtl_library(library ${ARG_SOURCES})
  list(APPEND arguments ${library})
  foreach(param ${ARG_PARAMS})
    list(APPEND arguments -G${param})
  endforeach()
  foreach(define ${ARG_DEFINES})
    list(APPEND arguments +define+${define})
  endforeach()
  if(ARG_TRACE)
    list(APPEND arguments --trace-fst --trace-structs)
  endif()
  if(ARG_COVERAGE)
    list(APPEND arguments --coverage)
  endif()
  list(APPEND arguments ${ARG_ARGS})
  foreach(source ${ARG_SOURCES})
    get_filename_component(source ${source} ABSOLUTE)
    list(APPEND arguments ${source})
  endforeach()
  add_custom_command(
    OUTPUT ${directory}/${ARG_NAME}_fast.cpp ${directory}/${ARG_NAME}_slow.cpp
    BYPRODUCTS ${directory}/V${ARG_NAME}.h
    COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/cmake/verilate.py ${SLOTWIRE_VERILATOR} ${directory} ${ARG_NAME}
            -- ${arguments}
    DEPENDS ${PROJECT_SOURCE_DIR}/cmake/verilate.py
    DEPFILE ${directory}/${ARG_NAME}.d
    COMMENT "Verilating ${ARG_NAME}" VERBATIM)
  add_library(${ARG_NAME} STATIC EXCLUDE_FROM_ALL ${directory}/${ARG_NAME}_fast.cpp ${directory}/${ARG_NAME}_slow.cpp)
  set_source_files_properties(${directory}/${ARG_NAME}_slow.cpp PROPERTIES COMPILE_OPTIONS -O0)
  target_include_directories(${ARG_NAME} SYSTEM PUBLIC ${directory})
  # Generated code: none of the project's warnings, and no debug information, which would double the time to compile.
  target_compile_options(${ARG_NAME} PRIVATE -w -g0)
  target_compile_definitions(${ARG_NAME} PUBLIC VM_TRACE=$<BOOL:${ARG_TRACE}> VM_TRACE_FST=$<BOOL:${ARG_TRACE}>
                                                VM_COVERAGE=$<BOOL:${ARG_COVERAGE}>)
  target_link_libraries(${ARG_NAME} PUBLIC slotwire_verilated)
endfunction()
