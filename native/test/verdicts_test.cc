// SPDX-License-Identifier: Apache-2.0
// Verdicts: kept, asked for, taken back, over.
#include <cstdint>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "check.h"
#include "support/options.h"
#include "verdicts/verdict_cache.h"
#include "verdicts/verdict_desks.h"

using namespace groundwire;

namespace {

struct QuietSink final : EventSink {
  void Wake() override {}
};

using Cache = VerdictCache<InboundKind>;

InboundVerdict Answer(uint64_t verdict, uint8_t consulted) {
  auto answer = std::make_shared<msg::InboundAnswer>();
  answer->verdict = verdict;
  answer->consulted = consulted;
  return answer;
}

size_t Put(Cache* cache, const InboundKey& key, const InboundVerdict& verdict,
           uint64_t until_us = 0) {
  return cache->Put(key, {verdict, until_us});
}

InboundVerdict Find(Cache* cache, const InboundKey& key, uint64_t now_us = 0) {
  const auto* kept = cache->Find(key, now_us);
  return kept == nullptr ? nullptr : kept->verdict;
}

constexpr uint8_t kIdentity = msg::BitOf(msg::ConsultedField::kIdentity);
constexpr uint8_t kSource = msg::BitOf(msg::ConsultedField::kSourceAddress);
constexpr uint8_t kPort = msg::BitOf(msg::ConsultedField::kDestinationPort);

InboundKey Key(const std::string& identity, const std::string& source, uint16_t port) {
  return {1, msg::Security::kMutualTls, identity, *IpAddress::Parse(source), port, "", ""};
}

/// One worker's part of an engine, with TypeScript's played by the test.
struct Bench {
  explicit Bench(uint32_t queue_max = 100, uint32_t timeout_ms = 60000) {
    options.verdict_queue_max = queue_max;
    options.verdict_timeout_ms = timeout_ms;
    desks.emplace(ThreadContext{&loop, nullptr, &counters, &ids, &events, &options}, &questions);
    (void)loop.Open();
  }
  VerdictDesk<OutboundKind>& desk() { return desks->of<OutboundKind>(); }
  /// What was asked since the last call.
  std::vector<msg::OutboundQuestion> Asked() {
    std::vector<uint8_t> packed;
    uint64_t dropped = 0;
    events.Drain(&packed, 1000, &dropped);
    std::vector<msg::Event> all;
    std::vector<msg::OutboundQuestion> asked;
    if (!msg::DecodeBatch(packed, &all)) return asked;
    for (const msg::Event& event : all) asked.push_back(std::get<msg::OutboundQuestion>(event));
    return asked;
  }
  void Answer(const msg::OutboundQuestion& question, uint64_t verdict, uint32_t kept_ms = 0,
              bool keep = true) {
    auto answer = std::make_shared<msg::OutboundAnswer>();
    answer->verdict = verdict;
    answer->kept_ms = kept_ms;
    const auto key = questions.of<OutboundKind>().Take(question.question);
    if (key) desk().TakeAnswer(question.question, *key, answer, keep);
  }
  uint64_t Count(Counter counter) const { return counters.Read(counter); }

  QuietSink sink;
  EventQueue events{&sink, 1 << 20, 1 << 20};
  msg::EngineOptions options = TestOptions();
  Counters counters;
  EventLoop loop{&counters};
  IdSequence ids{0};
  QuestionTables questions;
  std::optional<VerdictDesks> desks;
};

/// A connection of pod 1.
struct User final : VerdictUser<OutboundKind> {
  User(Bench* bench, const std::string& destination)
      : dst(*SocketAddress::Parse(destination)), hold(&bench->desk(), this) {}
  void Describe(msg::OutboundQuestion* question) const override {
    question->pod = 1;
    question->original_dst = dst;
  }
  void OnVerdict(const OutboundVerdict& verdict) override { first.push_back(verdict->verdict); }
  void OnLateVerdict(const OutboundVerdict& verdict) override { late.push_back(verdict->verdict); }
  void OnNoVerdict(ErrorCode code) override { refused = code; }

  SocketAddress dst;
  std::vector<uint64_t> first;
  std::vector<uint64_t> late;
  ErrorCode refused = ErrorCode::kNone;
  VerdictHold<OutboundKind> hold;
};

}  // namespace

TEST("verdict cache: one answer serves every connection alike in the consulted fields") {
  Cache cache(100);
  CHECK(Find(&cache, Key("a", "10.0.0.1", 80)) == nullptr);
  Put(&cache, Key("a", "10.0.0.1", 80), Answer(1, kIdentity));
  CHECK(Find(&cache, Key("a", "10.0.0.2", 81)) != nullptr);
  CHECK(Find(&cache, Key("b", "10.0.0.1", 80)) == nullptr);
  Put(&cache, Key("b", "10.0.0.1", 80),
      Answer(2, static_cast<uint8_t>(kIdentity | kSource | kPort)));
  CHECK(Find(&cache, Key("b", "10.0.0.1", 80)) != nullptr);
  CHECK(Find(&cache, Key("b", "10.0.0.2", 80)) == nullptr);
  CHECK(Find(&cache, Key("b", "10.0.0.1", 81)) == nullptr);
  InboundKey other = Key("a", "10.0.0.1", 80);
  other.pod = 2;
  CHECK(Find(&cache, other) == nullptr);
  other = Key("a", "10.0.0.1", 80);
  other.security = msg::Security::kNone;
  CHECK(Find(&cache, other) == nullptr);
}

TEST("verdict cache: which Service was dialled tells apart the answers that looked at it") {
  Cache cache(100);
  InboundKey one = Key("a", "10.0.0.1", 80);
  one.service = "one.test";
  InboundKey two = one;
  two.service = "two.test";
  Put(&cache, one, Answer(1, kPort | msg::BitOf(msg::ConsultedField::kService)));
  CHECK(Find(&cache, one) != nullptr);
  CHECK(Find(&cache, two) == nullptr);
  Put(&cache, two, Answer(2, kPort));
  CHECK(Find(&cache, two) != nullptr);
}

TEST("verdict cache: an answer for an address never serves a hostname") {
  Cache cache(100);
  Put(&cache, Key("a", "10.0.0.1", 80), Answer(1, 0));
  InboundKey named = Key("a", "10.0.0.1", 80);
  named.authority = "web.shop:80";
  CHECK(Find(&cache, named) == nullptr);
  CHECK(Find(&cache, Key("z", "10.9.9.9", 9)) != nullptr);
}

TEST("verdict cache: invalidation forgets exactly what it names; the bound evicts the oldest") {
  Cache cache(3);
  for (uint64_t i = 1; i <= 3; ++i) {
    CHECK_EQ(Put(&cache, Key(std::to_string(i), "10.0.0.1", 80), Answer(i, kIdentity)), 0u);
  }
  CHECK(cache.Forget(2));
  CHECK(!cache.Forget(99));
  CHECK(Find(&cache, Key("2", "10.0.0.1", 80)) == nullptr);
  CHECK(Find(&cache, Key("3", "10.0.0.1", 80)) != nullptr);
  Put(&cache, Key("4", "10.0.0.1", 80), Answer(4, kIdentity));
  CHECK_EQ(Put(&cache, Key("5", "10.0.0.1", 80), Answer(5, kIdentity)), 1u);
  CHECK(Find(&cache, Key("1", "10.0.0.1", 80)) == nullptr);
  CHECK_EQ(cache.size(), 3u);
  cache.ForgetPod(1);
  CHECK_EQ(cache.size(), 0u);
}

TEST("verdict cache: a pod with many destinations evicts its own") {
  Cache cache(100);
  const auto key = [](uint32_t pod, int i) {
    InboundKey made = Key(std::to_string(i), "10.0.0.1", 80);
    made.pod = pod;
    return made;
  };
  const auto count = [&](uint32_t pod, int entries) {
    int found = 0;
    for (int i = 0; i < entries; ++i) found += Find(&cache, key(pod, i)) != nullptr ? 1 : 0;
    return found;
  };
  uint64_t verdict = 0;
  for (int i = 0; i < 10; ++i) Put(&cache, key(1, i), Answer(++verdict, kIdentity));
  for (int i = 0; i < 1000; ++i) Put(&cache, key(2, i), Answer(++verdict, kIdentity));
  CHECK_EQ(count(1, 10), 10);
  CHECK_EQ(count(2, 1000), 90);
  // One that comes late gets its share, and no more: the one that had all gives way to it.
  for (int i = 0; i < 1000; ++i) Put(&cache, key(3, i), Answer(++verdict, kIdentity));
  CHECK_EQ(count(1, 10), 10);
  CHECK(count(3, 1000) >= 33 && count(2, 1000) >= 33);
  CHECK_EQ(cache.size(), 100u);
  cache.ForgetPod(3);
  CHECK_EQ(count(3, 1000), 0);
  CHECK_EQ(count(1, 10), 10);
}

TEST("verdict cache: agrees with asking every time (10,000 random connections)") {
  // The slow reference: a rule a mask, answered anew for each connection.
  Cache cache(100000);
  std::map<std::string, uint8_t> masks = {
      {"a", 0}, {"b", kSource}, {"c", static_cast<uint8_t>(kPort | kIdentity)}};
  const auto evaluate = [&](const InboundKey& key) {
    // Every evaluation looks at the identity first, as policies do.
    const auto mask = static_cast<uint8_t>(masks[key.identity] | kIdentity);
    const InboundKey seen = InboundKind::Masked(key, mask);
    return std::pair(InboundKind::Hash(seen), mask);
  };
  const uint64_t seed = RandomU64();
  int wrong = 0;
  uint64_t state = seed;
  for (int i = 0; i < 10000; ++i) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    const InboundKey key = Key(std::string(1, static_cast<char>('a' + (state >> 33) % 3)),
                               "10.0.0." + std::to_string((state >> 40) % 20),
                               static_cast<uint16_t>((state >> 50) % 20));
    const auto [id, mask] = evaluate(key);
    const InboundVerdict found = Find(&cache, key);
    if (found && found->verdict != id) ++wrong;
    if (!found) Put(&cache, key, Answer(id, mask));
  }
  if (wrong != 0) std::cout << "seed " << seed << std::endl;
  CHECK_EQ(wrong, 0);
}

TEST("verdict cache: an answer that holds for a while is not found afterwards") {
  Cache cache(100);
  Put(&cache, Key("a", "10.0.0.1", 80), Answer(1, kIdentity), 1000);
  CHECK(Find(&cache, Key("a", "10.0.0.1", 80), 999) != nullptr);
  CHECK(Find(&cache, Key("a", "10.0.0.1", 80), 1000) == nullptr);
  CHECK_EQ(cache.size(), 0u);
  CHECK(!cache.Forget(1));
}

TEST("verdict cache: what was evicted, replaced or left with its pod is not found by its verdict") {
  Cache cache(2);
  Put(&cache, Key("a", "10.0.0.1", 80), Answer(1, kIdentity));
  Put(&cache, Key("a", "10.0.0.1", 80), Answer(2, kIdentity));
  CHECK(!cache.Forget(1));
  Put(&cache, Key("b", "10.0.0.1", 80), Answer(3, kIdentity));
  CHECK_EQ(Put(&cache, Key("c", "10.0.0.1", 80), Answer(4, kIdentity)), 1u);
  CHECK(!cache.Forget(2));
  CHECK_EQ(cache.size(), 2u);
  cache.ForgetPod(1);
  CHECK(!cache.Forget(3) && !cache.Forget(4));
}

TEST("verdict desk: connections alike share one question, and what is known is not asked") {
  Bench bench;
  User a(&bench, "10.0.0.1:80");
  User b(&bench, "10.0.0.1:80");
  a.hold.Ask();
  b.hold.Ask();
  const auto asked = bench.Asked();
  REQUIRE(asked.size() == 1);
  bench.Answer(asked[0], 7);
  CHECK(a.first == std::vector<uint64_t>{7} && b.first == std::vector<uint64_t>{7});
  User c(&bench, "10.0.0.1:80");
  c.hold.Ask();
  CHECK(c.first == std::vector<uint64_t>{7});
  CHECK(bench.Asked().empty());
}

TEST("verdict desk: what is taken back is asked again for those who live by it, and nobody else") {
  Bench bench;
  User a(&bench, "10.0.0.1:80");
  User b(&bench, "10.0.0.2:80");
  auto gone = std::make_unique<User>(&bench, "10.0.0.1:80");
  for (User* user : {&a, &b, gone.get()}) user->hold.Ask();
  const auto asked = bench.Asked();
  REQUIRE(asked.size() == 2);
  bench.Answer(asked[0], 1);
  bench.Answer(asked[1], 2);
  gone.reset();
  bench.desks->Invalidate({1, 99});
  CHECK_EQ(bench.Count(Counter::kVerdictReasked), 1u);
  CHECK_EQ(bench.Count(Counter::kVerdictInvalidated), 1u);
  const auto again = bench.Asked();
  REQUIRE(again.size() == 1);
  CHECK(again[0].original_dst == a.dst);
  bench.desks->Invalidate({1});  // nobody's any more
  CHECK(bench.Asked().empty());
  bench.Answer(again[0], 3);
  CHECK(a.late == std::vector<uint64_t>{3} && b.late.empty());
  // By the new one it lives from now on.
  bench.desks->Invalidate({3});
  CHECK_EQ(bench.Asked().size(), 1u);
}

TEST("verdict desk: who lives by an evicted answer is still asked again when that is taken back") {
  Bench bench;
  User a(&bench, "10.0.0.1:80");
  a.hold.Ask();
  bench.Answer(bench.Asked().at(0), 1, 0, false);  // kept nowhere
  bench.desks->Invalidate({1});
  CHECK_EQ(bench.Asked().size(), 1u);
  CHECK_EQ(bench.Count(Counter::kVerdictInvalidated), 0u);
}

TEST(
    "verdict desk: an answer that holds for a while is asked for again, once for all who live by "
    "it") {
  Bench bench;
  User a(&bench, "10.0.0.1:80");
  User b(&bench, "10.0.0.1:80");
  a.hold.Ask();
  b.hold.Ask();
  bench.Answer(bench.Asked().at(0), 1, 20);
  std::vector<msg::OutboundQuestion> asked;
  for (int turn = 0; turn < 200 && asked.empty(); ++turn) {
    bench.loop.RunTurn(10);
    asked = bench.Asked();
  }
  REQUIRE(asked.size() == 1);
  CHECK(a.late.empty() && b.late.empty());  // both go on meanwhile
  bench.Answer(asked[0], 2, 60000);
  for (int turn = 0; turn < 3; ++turn) bench.loop.RunTurn(10);
  CHECK(a.late == std::vector<uint64_t>{2} && b.late == std::vector<uint64_t>{2});
  CHECK(bench.Asked().empty());
}

TEST("verdict desk: a connection that gave up frees its place only when its question is over") {
  Bench bench(2);
  auto gone = std::make_unique<User>(&bench, "10.0.0.1:80");
  gone->hold.Ask();
  gone.reset();
  User a(&bench, "10.0.0.2:80");
  User b(&bench, "10.0.0.3:80");
  a.hold.Ask();
  b.hold.Ask();
  CHECK(b.refused == ErrorCode::kVerdictQueueFull);
  const auto asked = bench.Asked();
  REQUIRE(asked.size() == 2);
  bench.Answer(asked[0], 1);
  User c(&bench, "10.0.0.4:80");
  c.hold.Ask();
  CHECK(c.refused == ErrorCode::kNone);
}

TEST("verdict desk: fails closed in time; a live connection's question is told again") {
  Bench bench(100, 20);
  User live(&bench, "10.0.0.1:80");
  live.hold.Ask();
  bench.Answer(bench.Asked().at(0), 1);
  bench.desks->Invalidate({1});
  User late(&bench, "10.0.0.1:80");
  late.hold.Ask();
  const auto asked = bench.Asked();
  REQUIRE(asked.size() == 1);
  for (int turn = 0; turn < 200 && late.refused == ErrorCode::kNone; ++turn) bench.loop.RunTurn(10);
  CHECK(late.refused == ErrorCode::kVerdictTimeout && live.refused == ErrorCode::kNone);
  const auto again = bench.Asked();
  REQUIRE(again.size() == 1);
  CHECK_EQ(again[0].question, asked[0].question);
  bench.Answer(asked[0], 2);  // to its first telling
  CHECK(live.late == std::vector<uint64_t>{2} && late.first.empty());
}

TEST("verdict desk: an answer that comes after its pod was released is given, and not kept") {
  Bench bench;
  User a(&bench, "10.0.0.1:80");
  a.hold.Ask();
  bench.Answer(bench.Asked().at(0), 1, 0, false);
  CHECK(a.first == std::vector<uint64_t>{1});
  User b(&bench, "10.0.0.1:80");
  b.hold.Ask();
  CHECK(b.first.empty());
}

TEST("deliver port: the answer's where it looked at the port, the connection's own elsewhere") {
  msg::InboundAnswer answer;
  answer.deliver_port = 8080;
  CHECK_EQ(DeliverPortOf(answer, 80, ""), 80);
  CHECK_EQ(DeliverPortOf(answer, 80, "web.shop:80"), 8080);
  answer.consulted = kPort;
  CHECK_EQ(DeliverPortOf(answer, 80, ""), 8080);
}

RUN_TESTS()
