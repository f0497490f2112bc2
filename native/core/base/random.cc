// SPDX-License-Identifier: Apache-2.0
#include "base/random.h"

#include <sys/random.h>

#include "base/clock.h"

namespace groundwire {
namespace {

uint64_t Seed() {
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, 0) != sizeof seed) seed = MonotonicUs();
  return seed;
}

void AppendHex(uint64_t value, std::string* text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  for (int shift = 60; shift >= 0; shift -= 4) text->push_back(kDigits[value >> shift & 0xf]);
}

}  // namespace

uint64_t RandomU64() {
  // splitmix64 (Steele, Lea, Flood 2014).
  thread_local uint64_t state = Seed();
  uint64_t mixed = state += 0x9e3779b97f4a7c15ULL;
  mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9ULL;
  mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebULL;
  return mixed ^ mixed >> 31;
}

std::string MakeTraceparent() {
  std::string text = "00-";
  text.reserve(55);
  AppendHex(RandomU64(), &text);
  AppendHex(RandomU64(), &text);
  text.push_back('-');
  // An id of all zeros would be invalid.
  AppendHex(RandomU64() | 1, &text);
  text += "-00";
  return text;
}

}  // namespace groundwire
