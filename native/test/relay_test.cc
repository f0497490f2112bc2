// SPDX-License-Identifier: Apache-2.0
// What a relay and its ends do with readers that are slow and with peers that end badly: first what
// holds between any two ends, pair by pair, then what only sockets have.
#include "relay/relay.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "check.h"
#include "io/app_socket.h"
#include "io/socket_options.h"
#include "relay/socket_end.h"
#include "support/loopback.h"
#include "support/relay_party.h"

using namespace groundwire;

namespace {

std::string Pattern(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 31 + (i >> 12));
  return bytes;
}

/// The engine's end of a connection and the application's.
struct Pair {
  Counters counters;
  EventLoop loop{&counters};
  KeptMemory kept{&loop, &counters, 64 << 20};
  std::optional<AppSocket> engine;
  UniqueFd application;

  Pair() {
    EnterPrivateNetwork();
    const UniqueFd listener = ListenOn("10.202.5.1");
    application = ConnectTo(At("10.202.5.1", PortOf(listener.get())));
    UniqueFd accepted = AcceptOne(listener);
    (void)fcntl(accepted.get(), F_SETFL, O_NONBLOCK);
    // The kernel keeps little itself.
    const int small = 64 * 1024;
    (void)setsockopt(accepted.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    (void)setsockopt(application.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    engine.emplace(std::move(accepted), kept.AccountOf(1));
  }
};

void SetBuffer(const UniqueFd& fd, int option, int bytes) {
  if (setsockopt(fd.get(), SOL_SOCKET, option, &bytes, sizeof bytes) != 0) std::abort();
}

int Queued(const UniqueFd& fd, unsigned long request) {
  int bytes = 0;
  return ioctl(fd.get(), request, &bytes) == 0 ? bytes : -1;
}

/// A relay on a loop that the test turns, between a client and a server that are the test's own
/// sockets.
struct Carried : RelayOwner {
  UniqueFd client;
  UniqueFd server;
  UniqueFd source;  // the engine's ends, until Start
  UniqueFd destination;
  Counters counters;
  KeptMemory kept{&loop, &counters, 256 << 20};
  EventLoop loop{&counters};
  ThreadScratch scratch;
  ThreadContext thread{&loop, &scratch, &kept, &counters};
  RelayBytes bytes;
  Relay relay{&loop, &bytes, this};
  std::optional<ErrorCode> code;

  /// `adjust`: each listener before it listens to anybody, so that the accepted socket inherits it.
  explicit Carried(const std::function<void(const UniqueFd&)>& adjust = [](const UniqueFd&) {}) {
    EnterPrivateNetwork();
    if (!loop.Open().ok()) std::abort();
    const UniqueFd inbound = ListenOn("10.202.5.1");
    SetApplicationSocketOptions(inbound.get());
    adjust(inbound);
    client = ConnectTo(At("10.202.5.1", PortOf(inbound.get())));
    source = AcceptOne(inbound);
    const UniqueFd outbound = ListenOn("10.202.5.2");
    adjust(outbound);
    destination = ConnectTo(At("10.202.5.2", PortOf(outbound.get())));
    SetApplicationSocketOptions(destination.get());
    server = AcceptOne(outbound);
    for (const UniqueFd* fd : {&client, &server, &source, &destination}) {
      if (!fd->valid()) std::abort();
      (void)fcntl(fd->get(), F_SETFL, O_NONBLOCK);
    }
  }
  ~Carried() {
    if (!code) relay.Abort();
  }
  void OnRelayEnd(ErrorCode ended, const std::string&) override { code = ended; }
  void Start() {
    relay.Start(std::make_unique<SocketEnd>(thread, kept.AccountOf(1), std::move(source)),
                std::make_unique<SocketEnd>(thread, kept.AccountOf(2), std::move(destination)));
  }
  bool TurnUntil(const std::function<bool()>& done) {
    for (int i = 0; i < 2000; ++i) {
      if (done()) return true;
      loop.RunTurn(10);
    }
    return false;
  }
};

/// What comes until `size` bytes, the end or a reset, while the loop turns; the end is told as
/// "[end]" or "[reset]".
std::string Hear(Carried* carried, const UniqueFd& fd, size_t size) {
  std::string heard;
  std::string buffer(64 * 1024, '\0');
  (void)carried->TurnUntil([&] {
    for (;;) {
      const ssize_t count = recv(fd.get(), buffer.data(), buffer.size(), 0);
      if (count < 0 && errno == EAGAIN) return heard.size() >= size;
      if (count <= 0) heard += count == 0 ? "[end]" : "[reset]";
      if (count <= 0) return true;
      heard.append(buffer.data(), static_cast<size_t>(count));
    }
  });
  return heard;
}

/// Sends as long as the other side takes, at most all of it.
size_t SendWhatFits(const UniqueFd& fd, const std::string& bytes, size_t from = 0) {
  size_t sent = from;
  while (sent < bytes.size()) {
    const ssize_t count = send(fd.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (count <= 0) break;
    sent += static_cast<size_t>(count);
  }
  return sent - from;
}

enum class Kind : uint8_t { kSocket, kStream };

/// What a relay may have as its two ends, and what the connection of a pod then is.
constexpr struct {
  const char* name;
  Kind source;
  Kind destination;
} kPairs[] = {
    {"socket to socket", Kind::kSocket, Kind::kSocket},  // handoff, passthrough, plaintext
    {"socket to stream", Kind::kSocket, Kind::kStream},  // outbound
    {"stream to socket", Kind::kStream, Kind::kSocket},  // inbound
    {"stream to stream", Kind::kStream, Kind::kStream},  // a waypoint
};

/// A relay between a client and a server.
struct Between : RelayOwner {
  Counters counters;
  KeptMemory kept{&loop, &counters, 256 << 20};
  EventLoop loop{&counters};
  ThreadScratch scratch;
  ThreadContext thread{&loop, &scratch, &kept, &counters};
  RelayBytes bytes;
  Relay relay{&loop, &bytes, this};
  std::unique_ptr<RelayParty> client;
  std::unique_ptr<RelayParty> server;
  std::optional<ErrorCode> code;

  Between(Kind source, Kind destination) {
    if (!loop.Open().ok()) std::abort();
    client = Make(source, Http2Session::Role::kServer);
    server = Make(destination, Http2Session::Role::kClient);
    relay.Start(client->TakeEnd(), server->TakeEnd());
  }
  ~Between() {
    if (!code) relay.Abort();
  }
  void OnRelayEnd(ErrorCode ended, const std::string&) override { code = ended; }
  std::unique_ptr<RelayParty> Make(Kind kind, Http2Session::Role engine) const {
    return kind == Kind::kSocket ? MakeSocketParty(thread) : MakeStreamParty(thread, engine);
  }
  void Turn(int wait_ms = 0) {
    client->Turn();
    server->Turn();
    loop.RunTurn(wait_ms);
  }
  bool TurnUntil(const std::function<bool()>& done) {
    for (int i = 0; i < 4000; ++i) {
      if (done()) return true;
      Turn(i < 500 ? 0 : 5);
    }
    return false;
  }
  bool Hears(const RelayParty& party, const std::string& what) {
    return TurnUntil([&] { return party.heard == what; });
  }
};

/// Runs it over each pair, and with which of the two speaks: the client, then the server.
void ForEachPair(
    const std::function<void(Between*, RelayParty* speaker, RelayParty* hearer)>& run) {
  for (const auto& pair : kPairs) {
    for (const bool forth : {true, false}) {
      const int before = check::Failures();
      Between between(pair.source, pair.destination);
      RelayParty* const client = between.client.get();
      RelayParty* const server = between.server.get();
      run(&between, forth ? client : server, forth ? server : client);
      if (check::Failures() != before)
        std::cout << "  (" << pair.name << (forth ? ", forth)" : ", back)") << std::endl;
    }
  }
}

}  // namespace

TEST("relay: bytes pass whole both ways at once, and each end of stream after the last of them") {
  ForEachPair([](Between* between, RelayParty* speaker, RelayParty* hearer) {
    const std::string there = Pattern(5 << 20);
    const std::string back = Pattern(3 << 20);
    speaker->Say(there);
    hearer->Say(back);
    speaker->FinishSaying();
    hearer->FinishSaying();
    CHECK(between->Hears(*hearer, there + "[end]"));
    CHECK(between->Hears(*speaker, back + "[end]"));
    CHECK(between->TurnUntil([&] { return between->code.has_value(); }));
    CHECK(between->code == ErrorCode::kNone);
    const bool forth = speaker == between->client.get();
    CHECK_EQ(between->bytes.sent, forth ? there.size() : back.size());
    CHECK_EQ(between->bytes.received, forth ? back.size() : there.size());
  });
}

TEST("relay: a half-close leaves the other direction open for as long as it is wanted") {
  ForEachPair([](Between* between, RelayParty* speaker, RelayParty* hearer) {
    speaker->Say("ask");
    speaker->FinishSaying();
    CHECK(between->Hears(*hearer, "ask[end]"));
    for (int i = 0; i < 20; ++i) between->Turn(1);
    CHECK(!between->code);
    hearer->Say("answer");
    hearer->FinishSaying();
    CHECK(between->Hears(*speaker, "answer[end]"));
    CHECK(between->TurnUntil([&] { return between->code.has_value(); }));
    CHECK(between->code == ErrorCode::kNone);
  });
}

TEST("relay: what came before a reset arrives before it") {
  ForEachPair([](Between* between, RelayParty* speaker, RelayParty* hearer) {
    speaker->Say("last words");
    CHECK(between->TurnUntil([&] { return speaker->unsaid() == 0; }));
    speaker->Reset();
    CHECK(between->Hears(*hearer, "last words[reset]"));
    CHECK(between->TurnUntil([&] { return between->code.has_value(); }));
    CHECK(between->code == ErrorCode::kPeerReset);
    CHECK_EQ(between->counters.Read(Counter::kResetsCutShort), 0u);
  });
}

TEST("relay: an end of stream before the reset arrives as one") {
  ForEachPair([](Between* between, RelayParty* speaker, RelayParty* hearer) {
    speaker->Say("bye");
    speaker->FinishSaying();
    CHECK(between->Hears(*hearer, "bye[end]"));
    speaker->Reset();
    CHECK(between->Hears(*hearer, "bye[end][reset]"));
    CHECK(between->TurnUntil([&] { return between->code.has_value(); }));
    CHECK(between->code == ErrorCode::kPeerReset);
  });
}

TEST("relay: who does not read stops who speaks, loses nothing, and leaves the way back alone") {
  ForEachPair([](Between* between, RelayParty* speaker, RelayParty* hearer) {
    const std::string flood = Pattern(16 << 20);
    hearer->deaf = true;
    speaker->Say(flood);
    // As long as anything moves.
    for (size_t before = 0; before != speaker->unsaid();) {
      before = speaker->unsaid();
      for (int i = 0; i < 200; ++i) between->Turn();
    }
    CHECK(speaker->unsaid() > flood.size() / 2);
    hearer->Say("still here");
    CHECK(between->Hears(*speaker, "still here"));
    hearer->deaf = false;
    CHECK(between->Hears(*hearer, flood));
    CHECK(!between->code);
  });
}

TEST("relay: a slow reader gets what came before the reset, whoever holds it") {
  ForEachPair([](Between* between, RelayParty* speaker, RelayParty* hearer) {
    const std::string last = Pattern(400 << 10);
    hearer->deaf = true;
    speaker->Say(last);
    for (int i = 0; i < 200; ++i) between->Turn();
    const std::string said = last.substr(0, last.size() - speaker->unsaid());
    speaker->Reset();
    for (int i = 0; i < 50; ++i) between->Turn();
    hearer->deaf = false;
    CHECK(said.size() > 100000);
    // A socket that is reset takes with it what it has not sent.
    CHECK(between->TurnUntil([&] { return hearer->heard.ends_with("[reset]"); }));
    const std::string heard = hearer->heard.substr(0, hearer->heard.size() - 7);
    CHECK(said.starts_with(heard));
    CHECK(heard.size() > 100000);
    CHECK_EQ(between->counters.Read(Counter::kResetsCutShort), 0u);
    CHECK(between->code == ErrorCode::kPeerReset);
  });
}

TEST("relay: who never reads holds a reset up for seconds, not for ever") {
  // All at once: each waits for its bound.
  std::vector<std::unique_ptr<Between>> all;
  for (const auto& pair : kPairs) {
    all.push_back(std::make_unique<Between>(pair.source, pair.destination));
    Between& between = *all.back();
    between.server->deaf = true;
    between.client->Say(Pattern(16 << 20));
    for (int i = 0; i < 500; ++i) between.Turn();
    between.client->Reset();
  }
  for (int i = 0; i < 2000; ++i) {
    for (const auto& between : all) between->Turn(between->code ? 0 : 1);
    if (std::ranges::all_of(all, [](const auto& between) { return between->code.has_value(); }))
      break;
  }
  for (const auto& between : all) {
    CHECK(between->code == ErrorCode::kPeerReset);
    CHECK_EQ(between->counters.Read(Counter::kResetsCutShort), 1u);
  }
}

TEST("relay: what is cut from outside is reset at both ends, and its owner is not told") {
  ForEachPair([](Between* between, RelayParty* speaker, RelayParty* hearer) {
    speaker->Say("a");
    CHECK(between->Hears(*hearer, "a"));
    between->relay.Abort();
    CHECK(between->Hears(*hearer, "a[reset]"));
    CHECK(between->Hears(*speaker, "[reset]"));
    CHECK(!between->code);
  });
}

TEST("relay: a reader that never catches up costs a window, not every byte carried") {
  Pair pair;
  REQUIRE(pair.engine->open() && pair.application.valid());
  constexpr size_t kWindow = 256 * 1024;
  constexpr size_t kFrame = 16 * 1024;
  const std::string flood = Pattern(64 * kFrame);
  const auto* bytes = reinterpret_cast<const uint8_t*>(flood.data());
  size_t given = 0;
  size_t taken = 0;
  bool same = true;
  size_t memory_max = 0;
  while (taken < 8 * kWindow) {
    // The peer fills the window at once, as the reader takes a little: something is kept all of the
    // time.
    while (pair.engine->kept() + kFrame <= kWindow) {
      size_t sent = 0;
      REQUIRE(pair.engine->Send(bytes + given % flood.size(), kFrame, &sent) !=
              AppSocket::Result::kReset);
      given += kFrame;
    }
    CHECK(pair.engine->kept() > 0);
    const std::string got = ReceiveUpTo(pair.application, kFrame * 3 / 4);
    REQUIRE(got.size() == kFrame * 3 / 4);
    for (const char byte : got) same = same && byte == flood[taken++ % flood.size()];
    size_t sent = 0;
    REQUIRE(pair.engine->SendKept(&sent) == AppSocket::Result::kBlocked);
    memory_max = std::max(memory_max, pair.kept.used());
  }
  CHECK(same);
  CHECK(memory_max <= kWindow + 2 * KeptBlock::kBytes + kWindow / 100);
}

TEST("relay: a flood one way leaves the way back its turn") {
  constexpr int kBuffer = 8 << 20;
  Carried carried([](const UniqueFd& listener) {
    SetBuffer(listener, SO_RCVBUFFORCE, kBuffer);
    SetBuffer(listener, SO_SNDBUFFORCE, kBuffer);
  });
  SetBuffer(carried.client, SO_SNDBUFFORCE, kBuffer);
  SetBuffer(carried.destination, SO_SNDBUFFORCE, kBuffer);
  // More than one turn of the loop carries; all of it is there before the relay begins.
  const std::string flood = Pattern(6 << 20);
  size_t sent = 0;
  REQUIRE(carried.TurnUntil([&] {
    sent += SendWhatFits(carried.client, flood, sent);
    return Queued(carried.source, FIONREAD) == static_cast<int>(flood.size());
  }));
  REQUIRE(SendAll(carried.server, "b"));
  REQUIRE(WaitReadable(carried.destination.get(), 10000));
  carried.Start();
  carried.loop.RunTurn(1000);
  char byte = 0;
  CHECK_EQ(recv(carried.client.get(), &byte, 1, 0), 1);
  CHECK_EQ(byte, 'b');
  CHECK(Hear(&carried, carried.server, flood.size()) == flood);
}

TEST("relay: urgent data keeps its place among the other bytes and holds none of them up") {
  // The second time after bytes that were already carried: what is told of the socket by then must
  // not be in the way.
  Carried carried;
  carried.Start();
  for (const std::string before : {"abc", ""}) {
    REQUIRE(SendAll(carried.client, before));
    REQUIRE(send(carried.client.get(), "X", 1, MSG_OOB) == 1);
    REQUIRE(SendAll(carried.client, "def"));
    REQUIRE(WaitReadable(carried.server.get(), 0) == false);
    CHECK_EQ(Hear(&carried, carried.server, before.size() + 4), before + "Xdef");
  }
  REQUIRE(SendAll(carried.server, "ab"));
  REQUIRE(send(carried.server.get(), "Y", 1, MSG_OOB) == 1);
  REQUIRE(send(carried.server.get(), "Z", 1, MSG_OOB) == 1);
  shutdown(carried.server.get(), SHUT_WR);
  CHECK_EQ(Hear(&carried, carried.client, 100), "abYZ[end]");
}

TEST(
    "relay: what came before a reset arrives before it, both ways, also of a connection that "
    "nobody carried yet") {
  for (const bool forth : {true, false}) {
    for (const bool started : {true, false}) {
      Carried carried;
      if (started) carried.Start();
      carried.loop.RunTurn(0);
      UniqueFd& speaker = forth ? carried.client : carried.server;
      REQUIRE(SendAll(speaker, "last words"));
      CloseWithReset(&speaker);
      if (!started) carried.Start();
      CHECK_EQ(Hear(&carried, forth ? carried.server : carried.client, 100), "last words[reset]");
      CHECK(carried.code == ErrorCode::kPeerReset);
      CHECK_EQ(carried.counters.Read(Counter::kResetsCutShort), 0u);
    }
  }
}

TEST("relay: a reset that a send is the first to find loses nothing either") {
  Carried carried;
  carried.Start();
  carried.loop.RunTurn(0);
  // In this order: the server's byte is carried first, into a socket that is already dead.
  REQUIRE(SendAll(carried.server, "x"));
  REQUIRE(SendAll(carried.client, "last words"));
  CloseWithReset(&carried.client);
  CHECK_EQ(Hear(&carried, carried.server, 100), "last words[reset]");
  CHECK(carried.code == ErrorCode::kPeerReset);
}

TEST(
    "relay: an end of stream before the reset arrives as one; after both ends a reset changes "
    "nothing") {
  Carried cut;
  cut.Start();
  REQUIRE(SendAll(cut.client, "bye"));
  shutdown(cut.client.get(), SHUT_WR);
  CloseWithReset(&cut.client);
  CHECK_EQ(Hear(&cut, cut.server, 100), "bye[end]");
  CHECK(cut.TurnUntil([&] { return cut.code.has_value(); }));
  CHECK(cut.code == ErrorCode::kPeerReset);

  Carried whole;
  whole.Start();
  REQUIRE(SendAll(whole.client, "ask"));
  shutdown(whole.client.get(), SHUT_WR);
  CHECK_EQ(Hear(&whole, whole.server, 100), "ask[end]");
  REQUIRE(SendAll(whole.server, "answer"));
  shutdown(whole.server.get(), SHUT_WR);
  CHECK(whole.TurnUntil([&] { return whole.code.has_value(); }));
  CloseWithReset(&whole.client);
  CHECK(whole.code == ErrorCode::kNone);
  CHECK_EQ(Hear(&whole, whole.server, 100), "[end]");
}

namespace {

/// A client that was reset with two mebibytes waiting at the relay, and a server that has taken
/// next to nothing.
struct Outlived : Carried {
  const std::string flood = Pattern(2 << 20);
  explicit Outlived(int send_buffer)
      : Carried([](const UniqueFd& listener) { SetBuffer(listener, SO_RCVBUFFORCE, 8 << 20); }) {
    SetBuffer(server, SO_RCVBUF, 256 << 10);
    SetBuffer(destination, SO_SNDBUFFORCE, send_buffer);
    SetBuffer(client, SO_SNDBUFFORCE, 8 << 20);
    size_t sent = 0;
    const bool waiting = TurnUntil([&] {
      sent += SendWhatFits(client, flood, sent);
      return Queued(source, FIONREAD) == static_cast<int>(flood.size());
    });
    if (!waiting) std::abort();
    CloseWithReset(&client);
    Start();
    for (int i = 0; i < 10; ++i) loop.RunTurn(0);
  }
};

}  // namespace

TEST(
    "relay: a slow reader gets what came before the reset, whether the relay or the kernel holds "
    "it") {
  for (const int send_buffer : {256 << 10, 16 << 20}) {
    Outlived carried(send_buffer);
    CHECK(!carried.code);
    CHECK(Hear(&carried, carried.server, carried.flood.size() + 100) == carried.flood + "[reset]");
    CHECK(carried.TurnUntil([&] { return carried.code.has_value(); }));
    CHECK(carried.code == ErrorCode::kPeerReset);
    CHECK_EQ(carried.counters.Read(Counter::kResetsCutShort), 0u);
  }
}

TEST("relay: an application that never reads holds a reset up for seconds, not for ever") {
  Outlived carried(256 << 10);
  CHECK(carried.TurnUntil([&] { return carried.code.has_value(); }));
  CHECK(carried.code == ErrorCode::kPeerReset);
  CHECK_EQ(carried.counters.Read(Counter::kResetsCutShort), 1u);
}

RUN_TESTS()
