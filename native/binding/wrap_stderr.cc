// SPDX-License-Identifier: Apache-2.0
// Debian and Ubuntu build libbpf.a and libnghttp2.a for executables: they reach `stderr` by a
// relative address, which a shared object cannot do for a variable of another one. The linker
// (--wrap=stderr) points them at ours instead.
#include <cstdio>

extern "C" {
// The names that --wrap prescribes.
// NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)
extern FILE* __real_stderr;
extern FILE* __wrap_stderr;
FILE* __wrap_stderr = nullptr;
// NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)
}

__attribute__((constructor)) static void PointAtStderr() { __wrap_stderr = __real_stderr; }
