# SPDX-License-Identifier: Apache-2.0
# Tests against this kernel, as root: namespaces, cgroups, programs and connections are real. Label `root`.
add_subdirectory("${bpf}" "${CMAKE_CURRENT_BINARY_DIR}/bpf")

file(GLOB kernel_sources CONFIGURE_DEPENDS "${core}/kernel/*.cc" "${core}/capture/*.cc")
add_library(groundwire_kernel STATIC ${kernel_sources} kernel_world.cc)
target_include_directories(groundwire_kernel PUBLIC "${CMAKE_CURRENT_SOURCE_DIR}")
target_compile_definitions(groundwire_kernel PRIVATE
  GROUNDWIRE_BPF_DIRECTORY="${CMAKE_CURRENT_BINARY_DIR}/bpf")
target_link_libraries(groundwire_kernel PUBLIC groundwire_portable groundwire_libbpf)
add_dependencies(groundwire_kernel groundwire_bpf)

file(GLOB kernel_tests CONFIGURE_DEPENDS kernel_*_test.cc)
foreach(source ${kernel_tests})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE groundwire_kernel)
  add_test(NAME ${name} COMMAND ${name})
  # They may run side by side: each makes its world under its own process id, and nothing of it is on the host's network.
  set_tests_properties(${name} PROPERTIES LABELS root TIMEOUT 200)
endforeach()
