# Read by CMake after upstream's project(): links without C++'s runtime library, whose Debian package is 1.5 GB. The
# firmware's only C++ source is an empty one then.
add_compile_definitions(PICO_CXX_DISABLE_ALLOCATION_OVERRIDES=1)
link_libraries(m)
cmake_language(DEFER CALL set_target_properties firmware PROPERTIES LINKER_LANGUAGE C)
