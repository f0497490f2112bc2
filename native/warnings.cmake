# SPDX-License-Identifier: Apache-2.0
# What the compiler is to say about native/, in the addon and in the tests alike.
#
# The optimiser's guesses about bounds and initialisation differ from one compiler version and sanitizer to the next
# (g++ 12 sees an overflow in vector::insert and uninitialised members in std::variant): they are shown, and stop nobody's
# build. clang does not know all of their names.
# CI and the tests set it. Nobody else's build is to end because a newer compiler warns of more.
option(GROUNDWIRE_WERROR "End the build at the first warning" OFF)
set(GROUNDWIRE_WARNINGS -Wall -Wextra -Wconversion -Wshadow)
if(GROUNDWIRE_WERROR)
  list(APPEND GROUNDWIRE_WARNINGS -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND GROUNDWIRE_WARNINGS -Wno-error=array-bounds -Wno-error=stringop-overflow -Wno-error=stringop-overread
    -Wno-error=restrict -Wno-error=maybe-uninitialized)
endif()
