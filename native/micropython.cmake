# The core as a MicroPython user C module, for ports built by CMake:
# -DUSER_C_MODULES=<this file> -DMONOCYPHER_DIR=<folder of monocypher.c>.
if(NOT EXISTS "${MONOCYPHER_DIR}/monocypher.c")
    message(FATAL_ERROR "MONOCYPHER_DIR must name a folder with monocypher.c and monocypher.h")
endif()

add_library(usermod_picofed INTERFACE)
target_sources(usermod_picofed INTERFACE ${CMAKE_CURRENT_LIST_DIR}/bindings/micropython.c)
target_include_directories(usermod_picofed INTERFACE
    ${CMAKE_CURRENT_LIST_DIR}/include ${CMAKE_CURRENT_LIST_DIR}/src ${MONOCYPHER_DIR})
target_compile_definitions(usermod_picofed INTERFACE BLAKE2_NO_UNROLLING)
target_link_libraries(usermod INTERFACE usermod_picofed)
