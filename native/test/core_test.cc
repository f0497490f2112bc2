// SPDX-License-Identifier: Apache-2.0
// The engine's small parts, each alone.
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <iostream>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/detail_text.h"
#include "base/random.h"
#include "base/spiffe_id.h"
#include "check.h"
#include "connection/connection_facts.h"
#include "dns/dns_message.h"
#include "dns/dns_upstream_table.h"
#include "flows/flow_table.h"
#include "hbone/hbone_request.h"
#include "io/event_loop.h"
#include "io/look_on.h"
#include "io/socket_options.h"
#include "tls/proof_table.h"

using namespace groundwire;

namespace {

/// The slice that this thread asked for; 0: the kernel does not say.
uint64_t SliceNs() {
  std::array<uint64_t, 6> attributes{};  // struct sched_attr; its fourth word is sched_runtime
  if (syscall(SYS_sched_getattr, 0, attributes.data(), sizeof attributes, 0) != 0) return 0;
  return attributes[3];
}

}  // namespace

TEST("spiffe id: the five segments, and nothing else") {
  const auto id = SpiffeId::Parse("spiffe://cluster.local/ns/shop/sa/web");
  REQUIRE(id.has_value());
  CHECK_EQ(id->trust_domain, "cluster.local");
  CHECK_EQ(id->name_space, "shop");
  CHECK_EQ(id->service_account, "web");
  CHECK_EQ(id->ToString(), "spiffe://cluster.local/ns/shop/sa/web");
  for (const char* wrong :
       {"", "spiffe://", "spiffe:///ns/a/sa/b", "spiffe://td/ns/a/sa/", "spiffe://td/ns/a/sa/b/c",
        "spiffe://td/ns/a/sa", "spiffe://td/n/a/sa/b", "http://td/ns/a/sa/b",
        "spiffe://td/ns/a/sa/b?q", "spiffe://td/ns//sa/b", "spiffe://td/ns/a b/sa/c",
        "spiffe://td/ns/a/sa/b\n"}) {
    CHECK(!SpiffeId::Parse(wrong).has_value());
  }
  CHECK(!SpiffeId::Parse("spiffe://td/ns/a/sa/" + std::string(3000, 'x')).has_value());
  CHECK(!SpiffeId::Parse(std::string_view("spiffe://td/ns/a/sa/b\0c", 23)).has_value());
}

TEST("authority: IP literals and hostnames with a port, and nothing else") {
  CHECK_EQ(HboneAuthority::Parse("10.0.0.1:80")->address->ToString(), "10.0.0.1:80");
  CHECK_EQ(HboneAuthority::Parse("[fd00::1]:8080")->address->ToString(), "[fd00::1]:8080");
  const auto name = HboneAuthority::Parse("web.shop.svc.cluster.local:80");
  REQUIRE(name.has_value());
  CHECK(!name->address.has_value());
  CHECK_EQ(name->hostname, "web.shop.svc.cluster.local");
  CHECK_EQ(name->port, 80);
  for (const char* wrong :
       {"", ":", "10.0.0.1", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:65536", "fd00::1:80", "[fd00::1]",
        "web:", ":80", "a b:80", "web:80x", "user@web:80", "web/x:80"}) {
    CHECK(!HboneAuthority::Parse(wrong).has_value());
  }
}

TEST("CONNECT headers: in the reference's order, empty ones left out") {
  const SocketAddress client{*IpAddress::Parse("10.0.0.9"), 1234};
  const ConnectHeaders full("10.0.0.1:80", "k=v", client, "web.shop", "00-t");
  std::string text;
  for (const auto& [name, value] : full.list())
    text.append(name).append("=").append(value).append("\n");
  CHECK_EQ(text,
           ":method=CONNECT\n:authority=10.0.0.1:80\nbaggage=k=v\n"
           "forwarded=for=\"10.0.0.9:1234\";host=web.shop\ntraceparent=00-t\n");
  CHECK_EQ(ConnectHeaders("a:1", "", client, "", "t").list().size(), 4u);
  CHECK_EQ(MakeTraceparent().size(), 55u);
  CHECK(MakeTraceparent() != MakeTraceparent());
}

TEST("connect errors: what the kernel says has its code") {
  const std::map<int, std::string_view> expected = {
      {0, "NONE"},
      {ECONNREFUSED, "CONNECT_REFUSED"},
      {ECONNRESET, "CONNECT_REFUSED"},
      {ETIMEDOUT, "CONNECT_TIMEOUT"},
      {EMFILE, "OUT_OF_FILES"},
      {ENFILE, "OUT_OF_FILES"},
      {ENOMEM, "OUT_OF_FILES"},
      {ENOBUFS, "OUT_OF_FILES"},
      {EADDRNOTAVAIL, "SOURCE_PORTS_EXHAUSTED"},
      {EHOSTUNREACH, "CONNECT_UNREACHABLE"},
      {ENETUNREACH, "CONNECT_UNREACHABLE"},
      {EACCES, "CONNECT_UNREACHABLE"},
  };
  for (const auto& [error, name] : expected) CHECK_EQ(NameOf(CodeOfConnectError(error)), name);
}

TEST("flow table: rows add up; beyond the bound sums stay true") {
  FlowTable table(2);
  bool full = false;
  table.At({msg::Direction::kInbound, 1, 1, ErrorCode::kNone}, &full).opened += 1;
  table.At({msg::Direction::kInbound, 2, 1, ErrorCode::kNone}, &full).opened += 1;
  CHECK(!full);
  table.At({msg::Direction::kInbound, 3, 1, ErrorCode::kNone}, &full).opened += 1;
  CHECK(full);
  FlowTable sum(100);
  table.AddTo(&sum);
  table.AddTo(&sum);
  uint64_t opened = 0;
  for (const auto& [key, row] : sum.rows()) opened += row.opened;
  CHECK_EQ(opened, 6u);
}

TEST("event loop: timers run in order, cancelled ones never; work put off runs once a turn") {
  Counters counters;
  EventLoop loop(&counters);
  REQUIRE(loop.Open().ok());
  std::string order;
  loop.After(20, [&] { order += "c"; });
  loop.After(0, [&] { order += "a"; });
  loop.After(5, [&] { order += "b"; });
  EventLoop::TimerId cancelled = loop.After(1, [&] { order += "x"; });
  loop.Cancel(&cancelled);
  loop.Cancel(&cancelled);
  int turns = 0;
  loop.Defer([&] { ++turns, loop.Defer([&] { ++turns; }); });
  loop.RunTurn(0);
  CHECK_EQ(turns, 1);
  for (int i = 0; i < 100 && order.size() < 3; ++i) loop.RunTurn(50);
  CHECK_EQ(turns, 2);
  CHECK_EQ(order, "abc");
}

TEST(
    "event loop: no event of a closed socket reaches a handler, though a child still holds a copy "
    "of the descriptor") {
  Counters counters;
  EventLoop loop(&counters);
  REQUIRE(loop.Open().ok());
  struct Handler final : EventHandler {
    explicit Handler(int* events) : events_(events) {}
    void OnEvents(uint32_t) override { ++*events_; }
    int* events_;
  };
  const auto make_pair = [](UniqueFd* watched, UniqueFd* peer) {
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    watched->Reset(pair[0]);
    peer->Reset(pair[1]);
  };
  int gone_events = 0;
  int live_events = 0;
  auto gone = std::make_unique<Handler>(&gone_events);
  Handler live(&live_events);
  UniqueFd first, first_peer, second, second_peer;
  make_pair(&first, &first_peer);
  make_pair(&second, &second_peer);
  REQUIRE(loop.Watch(first.get(), gone.get()).ok());
  // What a forked child has until it calls exec: the registration lives as long as this copy does.
  const UniqueFd copy(fcntl(first.get(), F_DUPFD_CLOEXEC, 0));
  first.Reset();
  gone.reset();
  REQUIRE(loop.Watch(second.get(), &live).ok());
  loop.RunTurn(0);
  live_events = 0;
  REQUIRE(send(first_peer.get(), "x", 1, 0) == 1);
  loop.RunTurn(10);
  CHECK_EQ(gone_events, 0);
  CHECK_EQ(live_events, 0);
  REQUIRE(send(second_peer.get(), "x", 1, 0) == 1);
  loop.RunTurn(10);
  CHECK_EQ(live_events, 1);
}

TEST("event loop: what is discarded outlives the work that was put off before") {
  Counters counters;
  EventLoop loop(&counters);
  REQUIRE(loop.Open().ok());
  struct Object final : Discardable {
    explicit Object(bool* gone) : gone_(gone) {}
    ~Object() override { *gone_ = true; }
    bool* gone_;
  };
  bool gone = false;
  bool gone_at_work = true;
  loop.Defer([&] { loop.Defer([&] { gone_at_work = gone; }); });
  loop.Discard(std::make_unique<Object>(&gone));
  loop.RunTurn(0);
  CHECK(!gone);
  loop.RunTurn(0);
  CHECK(!gone_at_work);
  CHECK(gone);
}

TEST(
    "look-on: follows the answers' delay, and none for bulk, slow answers or a machine that is "
    "busy") {
  LookOn look_on(200);
  RequestTimer timer;
  timer.Request(&look_on, 1000, 64);
  CHECK(look_on.until_us() > 1000);
  timer.Answer(&look_on, 1080);
  CHECK_EQ(look_on.until_us(), 0u);
  for (uint64_t now = 2000; now < 40000; now += 1000) {
    timer.Request(&look_on, now, 64);
    CHECK(look_on.until_us() <= now + 200);
    timer.Answer(&look_on, now + 80);
  }
  timer.Request(&look_on, 50000, 64);
  CHECK(look_on.until_us() > 50080);
  timer.Answer(&look_on, 50080);
  timer.Request(&look_on, 51000, 1 << 20);
  CHECK_EQ(look_on.until_us(), 0u);
  timer.Answer(&look_on, 51080);
  for (uint64_t now = 100000; now < 2000000; now += 100000) {
    timer.Request(&look_on, now, 64);
    timer.Answer(&look_on, now + 50000);
  }
  timer.Request(&look_on, 3000000, 64);
  CHECK_EQ(look_on.until_us(), 0u);

  LookOn busy(200);
  busy.NoteRequest(1000, 64);
  CHECK(!busy.NoteYield(1100, 100));
  CHECK(busy.until_us() > 1000);
  CHECK(busy.NoteYield(6000, 5000));
  CHECK_EQ(busy.until_us(), 0u);
  busy.NoteRequest(900000, 64);
  CHECK_EQ(busy.until_us(), 0u);
  busy.NoteRequest(1900000, 64);
  CHECK(busy.until_us() > 1900000);
}

TEST("loop: asks for short slices while others have work for the processor, and only then") {
  const uint64_t usual = SliceNs();
  if (usual == 0) return;  // before Linux 6.12
  Counters counters;
  EventLoop loop(&counters);
  REQUIRE(loop.Open().ok());
  const auto looks_on_until_slice_is = [&](uint64_t wanted) {
    const uint64_t give_up_us = MonotonicUs() + 20'000'000;
    while (SliceNs() != wanted && MonotonicUs() < give_up_us) {
      loop.look_on().NoteRequest(loop.now_us(), 64);
      loop.RunTurn(1);
    }
    return SliceNs() == wanted;
  };
  cpu_set_t all;
  REQUIRE(sched_getaffinity(0, sizeof all, &all) == 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
  std::atomic<bool> enough{false};
  std::thread other([&] {  // on the same processor, as its parent
    while (!enough) continue;
  });
  CHECK(looks_on_until_slice_is(100'000));
  enough = true;
  other.join();
  REQUIRE(sched_setaffinity(0, sizeof all, &all) == 0);
  CHECK(looks_on_until_slice_is(usual));
}

TEST("proof table: the newest proof counts, an older one does not take it back") {
  ProofTable proofs;
  const ProofTable::Key key{1, "spiffe://td/ns/a/sa/b", {}};
  proofs.Record(key, {2000, 1, 1500});
  proofs.Record(key, {1000, 0, 500});
  CHECK_EQ(proofs.Find(key).until_ms, 2000u);
  CHECK_EQ(proofs.Find({2, key.peer, {}}).until_ms, 0u);
}

TEST("detail text: printable, escaped and bounded, whatever a peer's words hold") {
  CHECK_EQ(DetailText("certificate of a, expected b"), "certificate of a, expected b");
  CHECK_EQ(DetailText(std::string_view("a\n\x1b[31m\0\x7f\\", 9)), "a\\x0a\\x1b[31m\\x00\\x7f");
  CHECK_EQ(DetailText("\xc3\xa9\\"), "\\xc3\\xa9\\x5c");
  CHECK_EQ(DetailText(std::string(kDetailBytesMax, 'a')), std::string(kDetailBytesMax, 'a'));
  CHECK_EQ(DetailText(std::string(kDetailBytesMax + 1, 'a')),
           std::string(kDetailBytesMax - 3, 'a') + "...");
  // An escape is whole or not there.
  for (size_t lead = 0; lead < 8; ++lead) {
    const std::string cut = DetailText(std::string(lead, 'a') + std::string(300, '\n'));
    CHECK(cut.size() <= kDetailBytesMax && cut.ends_with("\\x0a..."));
  }
}

TEST("dns: TCP frames in any cut, SERVFAIL with the question, answers by id") {
  const std::vector<uint8_t> query = {0x12, 0x34, 1,   0,   0, 1, 0, 0, 0, 0, 0, 1,
                                      3,    'w',  'e', 'b', 0, 0, 1, 0, 1, 0, 0, 41};
  DnsFrames frames;
  std::vector<uint8_t> wire = WithLength(query);
  const std::vector<uint8_t> second = WithLength(query);
  wire.insert(wire.end(), second.begin(), second.end());
  size_t messages = 0;
  for (const uint8_t byte : wire) {
    frames.Append({&byte, 1});
    while (const auto message = frames.Next()) {
      CHECK(*message == query);
      ++messages;
    }
  }
  CHECK_EQ(messages, 2u);
  const auto servfail = MakeRefusal(query, DnsRefusal::kServfail);
  REQUIRE(servfail.size() == 21u);
  CHECK(IsAnswerTo(query, servfail));
  CHECK_EQ(servfail[3] & 0xf, 2);
  CHECK(MakeRefusal(servfail, DnsRefusal::kServfail).empty());
  // A question that cannot be read is not repeated.
  const std::vector<uint8_t> cut(query.begin(), query.begin() + 15);
  const std::vector<uint8_t> refusal = {0x12, 0x34, 0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0};
  CHECK(MakeRefusal(cut, DnsRefusal::kFormatError) == refusal);
  CHECK(MakeRefusal(std::vector<uint8_t>(11), DnsRefusal::kFormatError).empty());
  CHECK(!IsAnswerTo(query, query));
}

TEST(
    "dns: an answer has the question of its query, in whatever case, or neither question nor "
    "records") {
  const std::vector<uint8_t> query = {0x12, 0x34, 1,   0,   0,   1, 0, 0,  0, 0, 0,
                                      0,    3,    'w', 'e', 'b', 0, 0, 65, 0, 1};
  std::vector<uint8_t> answer = query;
  answer[2] = 0x81;
  CHECK(IsAnswerTo(query, answer));
  const auto with = [&](size_t at, uint8_t byte) {
    std::vector<uint8_t> changed = answer;
    changed[at] = byte;
    return changed;
  };
  CHECK(IsAnswerTo(query, with(13, 'W')));
  CHECK(!IsAnswerTo(query, with(13, 'x')));
  // The type is a number, not a letter: 65 is HTTPS, 97 is nothing.
  CHECK(!IsAnswerTo(query, with(18, 97)));
  CHECK(!IsAnswerTo(query, with(2, 0xa9)));
  CHECK(!IsAnswerTo(query, with(5, 2)));
  // A compression loop is another name.
  CHECK(!IsAnswerTo(query, with(12, 0xc0)));
  for (size_t size = 0; size < answer.size(); ++size)
    CHECK(!IsAnswerTo(query, std::span(answer).first(size)));
  std::vector<uint8_t> bare(answer.begin(), answer.begin() + 12);
  bare[5] = 0;
  CHECK(IsAnswerTo(query, bare));
  bare[7] = 1;
  CHECK(!IsAnswerTo(query, bare));
}

TEST("dns: what a datagram may hold is 512 bytes or what the client's OPT record says") {
  std::vector<uint8_t> query = {0x12, 0x34, 1,   0, 0, 1, 0, 0, 0, 0, 0,  1, 3,
                                'w',  'e',  'b', 0, 0, 1, 0, 1, 0, 0, 41, 4, 208};
  CHECK_EQ(UdpLimitOf(query), 1232u);
  query[24] = 0;
  CHECK_EQ(UdpLimitOf(query), 512u);
  for (size_t size = 0; size < query.size(); ++size)
    CHECK_EQ(UdpLimitOf(std::span(query).first(size)), 512u);
  std::vector<uint8_t> truncated = Truncate(query);
  CHECK_EQ(truncated.size(), 21u);
  CHECK_EQ(truncated[2] & 2, 2);
  CHECK_EQ(truncated[11], 0);
  // With no question to keep, the header is enough.
  CHECK_EQ(Truncate(std::span(query).first(15)).size(), 12u);
  CHECK_EQ(Truncate(std::span(query).first(11)).size(), 0u);
}

TEST("dns: forwarded queries are counted by label and by how long the answer took") {
  DnsUpstreamTable table(2);
  CHECK(table.CountAnswer(1, 0));
  CHECK(table.CountAnswer(1, 500));
  CHECK(table.CountAnswer(1, 501));
  CHECK(table.CountAnswer(1, 4096000));
  CHECK(table.CountAnswer(1, 4096001));
  CHECK(table.CountAnswer(1, UINT32_MAX));
  CHECK(table.CountFailure(2));
  // No room for a third label: what is known of it is that it was.
  CHECK(!table.CountFailure(3));
  CHECK(!table.CountAnswer(3, 1));
  DnsUpstreamTable sum(SIZE_MAX);
  table.AddTo(&sum);
  table.AddTo(&sum);
  const DnsUpstreamRow& row = sum.rows().at(1);
  CHECK_EQ(row.answered[0], 4u);
  CHECK_EQ(row.answered[1], 2u);
  CHECK_EQ(row.answered[DnsUpstreamRow::kBuckets - 2], 2u);
  CHECK_EQ(row.answered[DnsUpstreamRow::kBuckets - 1], 4u);
  CHECK_EQ(row.duration_us, 2 * (500u + 501u + 4096000u + 4096001u + uint64_t{UINT32_MAX}));
  CHECK_EQ(sum.rows().at(2).failed, 2u);
  CHECK_EQ(sum.rows().at(0).failed, 2u);
  CHECK_EQ(sum.rows().at(0).answered[0], 2u);
}

RUN_TESTS()
