// SPDX-License-Identifier: Apache-2.0
// Bytes that wait for their readers: in order, within one bound, shared among pods, given back.
#include "io/kept_memory.h"

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "check.h"
#include "io/kept_bytes.h"

using namespace groundwire;

namespace {

constexpr size_t kMebibyte = 1 << 20;

struct Memory {
  Counters counters;
  KeptMemory kept;
  EventLoop loop{&counters};

  explicit Memory(size_t max) : kept(&loop, &counters, max) {
    if (!loop.Open().ok()) std::abort();
  }
};

bool Append(KeptBytes* bytes, const std::string& text) {
  return bytes->Append(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

/// Appends 64 KiB at a time. Returns how many bytes there was room for.
size_t Fill(KeptBytes* bytes, size_t size) {
  const std::string piece(65536, 'x');
  size_t filled = 0;
  while (filled < size && Append(bytes, piece)) filled += piece.size();
  return filled;
}

size_t ResidentBytes() {
  size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages >> pages;
  return pages * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

TEST("kept bytes: come out as they went in, in any cut (differential, 20,000 steps)") {
  Memory memory(64 * kMebibyte);
  {
    KeptBytes bytes(memory.kept.AccountOf(1));
    std::string expected;
    uint8_t next = 0;
    for (int step = 0; step < 20000; ++step) {
      const uint64_t dice = RandomU64();
      const size_t size = (dice >> 8) % ((dice & 1) != 0 ? 20000 : 50);
      if ((dice & 6) != 0 && expected.size() < 200000) {
        std::string piece(size, '\0');
        for (char& byte : piece) byte = static_cast<char>(next++);
        if (size > 0) REQUIRE(Append(&bytes, piece));
        expected += piece;
      } else if ((dice & 8) != 0) {
        std::vector<uint8_t> out(size);
        const size_t taken = bytes.Take(out.data(), size);
        REQUIRE(taken == std::min(size, expected.size()));
        REQUIRE(std::equal(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(taken),
                           reinterpret_cast<const uint8_t*>(expected.data())));
        expected.erase(0, taken);
      } else {
        std::vector<iovec> parts(1 + dice % 70);
        const size_t count = bytes.Gather(parts);
        std::string gathered;
        for (size_t i = 0; i < count; ++i)
          gathered.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
        REQUIRE(expected.starts_with(gathered));
        REQUIRE(!gathered.empty() || expected.empty());
        const size_t drop = std::min(size, gathered.size());
        bytes.Drop(drop);
        expected.erase(0, drop);
      }
      REQUIRE(bytes.size() == expected.size());
    }
  }
  CHECK_EQ(memory.kept.used(), 0u);
}

TEST(
    "kept memory: a pod gets what is free for others, alone half; what has no room is refused "
    "whole") {
  Memory memory(16 * kMebibyte);
  KeptBytes greedy(memory.kept.AccountOf(1));
  const size_t alone = Fill(&greedy, 64 * kMebibyte);
  CHECK(alone > 7 * kMebibyte);
  CHECK(memory.kept.used() <= 8 * kMebibyte);
  CHECK(memory.counters.Read(Counter::kKeptFull) >= 1);
  const size_t used = memory.kept.used();
  CHECK(!Append(&greedy, std::string(65536, 'x')));
  CHECK_EQ(greedy.size(), alone);
  CHECK_EQ(memory.kept.used(), used);
  // Another one's readers still may, and nobody ever gets past the bound.
  KeptBytes other(memory.kept.AccountOf(2));
  CHECK(Fill(&other, 64 * kMebibyte) > 3 * kMebibyte);
  KeptBytes third(memory.kept.AccountOf(3));
  CHECK(Fill(&third, 64 * kMebibyte) > kMebibyte);
  CHECK(memory.kept.used() < 16 * kMebibyte);
  greedy.Clear();
  CHECK(Append(&other, std::string(65536, 'x')));
}

TEST("kept memory: windows get smaller as a pod's part fills, no other pod's, and come back") {
  Memory memory(16 * kMebibyte);
  KeptAccount* const account = memory.kept.AccountOf(1);
  const uint32_t max = 4 << 20;
  CHECK_EQ(account->Window(max), max);
  // Before it is read a stream gets what hundreds may have at once.
  CHECK_EQ(account->FirstWindow(max), 32768u);
  CHECK_EQ(account->FirstWindow(1000), 1000u);
  KeptBytes bytes(account);
  uint32_t last = max;
  std::vector<uint32_t> seen = {max};
  while (Fill(&bytes, 65536) > 0) {
    const uint32_t window = account->Window(max);
    CHECK(window <= last);
    if (window != last) seen.push_back(window);
    last = window;
  }
  CHECK((seen == std::vector<uint32_t>{4 << 20, 1 << 20, 256 << 10, 64 << 10, 16 << 10}));
  CHECK_EQ(memory.kept.AccountOf(2)->Window(max), max);
  bytes.Clear();
  CHECK_EQ(account->Window(max), max);
}

TEST("kept memory: goes back to the kernel when it is not needed, a little at a time") {
  Memory memory(256 * kMebibyte);
  KeptBytes bytes(memory.kept.AccountOf(1));
  const size_t before = ResidentBytes();
  REQUIRE(Fill(&bytes, 64 * kMebibyte) == 64 * kMebibyte);
  CHECK(ResidentBytes() >= before + 60 * kMebibyte);
  bytes.Clear();
  CHECK_EQ(memory.kept.used(), 0u);
  // What is wanted again at once is still there.
  CHECK(ResidentBytes() >= before + 60 * kMebibyte);
  for (int turns = 0; turns < 2000 && ResidentBytes() > before + 4 * kMebibyte; ++turns)
    memory.loop.RunTurn(10);
  CHECK(ResidentBytes() <= before + 4 * kMebibyte);
  CHECK(Fill(&bytes, kMebibyte) == kMebibyte);
}

TEST("kept memory: of a pod that left, nothing stays on the books") {
  Memory memory(16 * kMebibyte);
  {
    KeptBytes bytes(memory.kept.AccountOf(1));
    CHECK(Fill(&bytes, kMebibyte) == kMebibyte);
  }
  memory.kept.Forget(1);
  memory.loop.RunTurn(0);
  memory.loop.RunTurn(0);
  CHECK_EQ(memory.kept.used(), 0u);
  CHECK_EQ(memory.kept.AccountOf(1)->used(), 0u);
}

RUN_TESTS()
