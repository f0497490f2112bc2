# SPDX-License-Identifier: Apache-2.0
# What the compiler is to say about native/, in the addon and in the tests alike.
#
# The optimiser's guesses about bounds and initialisation differ from one compiler version and sanitizer to the next
# (g++ 12 sees an overflow in vector::insert and uninitialised members in std::variant): they are shown, and stop nobody's
# build. clang does not know all of their names.
set(GROUNDWIRE_WARNINGS -Wall -Wextra -Wconversion -Wshadow -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND GROUNDWIRE_WARNINGS -Wno-error=array-bounds -Wno-error=stringop-overflow -Wno-error=stringop-overread
    -Wno-error=restrict -Wno-error=maybe-uninitialized)
endif()
