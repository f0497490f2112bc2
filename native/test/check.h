// SPDX-License-Identifier: Apache-2.0
// The whole test framework: a table of named claims, checks that tell file, line and values, a
// non-zero exit on failure.
//
//   TEST("relay: a half close is carried through") { CHECK(ok); CHECK_EQ(bytes, 3u); }
//
// and exactly one RUN_TESTS() a program. `program FILTER` runs the claims that contain FILTER.
#pragma once
#include <cstdio>
#include <iostream>
#include <string_view>
#include <vector>

namespace check {

struct Test {
  std::string_view claim;
  void (*run)();
};
inline std::vector<Test>& Tests() {
  static std::vector<Test> tests;
  return tests;
}
inline int& Failures() {
  static int failures = 0;
  return failures;
}
struct Register {
  Register(std::string_view claim, void (*run)()) { Tests().push_back({claim, run}); }
};
inline void Fail(const char* file, int line, std::string_view what) {
  ++Failures();
  std::cout << "  " << file << ":" << line << ": " << what << std::endl;
}
template <typename A, typename B>
void Equal(const char* file, int line, const char* text, const A& actual, const B& expected) {
  if (actual == expected) return;
  Fail(file, line, text);
  std::cout << "    actual:   " << actual << "\n    expected: " << expected << std::endl;
}
inline int RunAll(std::string_view filter) {
  int failed = 0;
  for (const Test& test : Tests()) {
    if (test.claim.find(filter) == std::string_view::npos) continue;
    const int before = Failures();
    test.run();
    const bool ok = Failures() == before;
    failed += ok ? 0 : 1;
    std::cout << (ok ? "ok   " : "FAIL ") << test.claim << std::endl;
  }
  return failed == 0 ? 0 : 1;
}

}  // namespace check

#define CHECK_JOIN2(a, b) a##b
#define CHECK_JOIN(a, b) CHECK_JOIN2(a, b)
#define TEST(claim)                                                                          \
  static void CHECK_JOIN(test_, __LINE__)();                                                 \
  static const check::Register CHECK_JOIN(register_, __LINE__)(claim,                        \
                                                               CHECK_JOIN(test_, __LINE__)); \
  static void CHECK_JOIN(test_, __LINE__)()
#define CHECK(condition)                                           \
  do {                                                             \
    if (!(condition)) check::Fail(__FILE__, __LINE__, #condition); \
  } while (false)
#define CHECK_EQ(actual, expected) \
  check::Equal(__FILE__, __LINE__, #actual " == " #expected, (actual), (expected))
/// Fails and leaves the test: for what the rest of it stands on.
#define REQUIRE(condition)                         \
  do {                                             \
    if (!(condition)) {                            \
      check::Fail(__FILE__, __LINE__, #condition); \
      return;                                      \
    }                                              \
  } while (false)
#define RUN_TESTS() \
  int main(int argc, char** argv) { return check::RunAll(argc > 1 ? argv[1] : ""); }
