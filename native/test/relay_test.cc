// SPDX-License-Identifier: Apache-2.0
// What a relay and its sockets do with readers that are slow and with peers that end badly.
#include "relay/relay.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "check.h"
#include "io/app_socket.h"
#include "io/socket_options.h"
#include "support/loopback.h"

using namespace groundwire;

namespace {

std::string Pattern(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 31 + (i >> 12));
  return bytes;
}

/// The engine's end of a connection and the application's.
struct Pair {
  AppSocket engine;
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
    engine = AppSocket(std::move(accepted));
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
  EventLoop loop{&counters};
  ThreadScratch scratch;
  RelayBytes bytes;
  TcpRelay relay{&loop, &scratch, &bytes, this};
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
  void Start() { relay.Start(std::move(source), std::move(destination)); }
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

}  // namespace

TEST("relay: a reader that never catches up costs a window, not every byte carried") {
  Pair pair;
  REQUIRE(pair.engine.open() && pair.application.valid());
  constexpr size_t kWindow = 256 * 1024;
  constexpr size_t kFrame = 16 * 1024;
  const std::string flood = Pattern(64 * kFrame);
  const auto* bytes = reinterpret_cast<const uint8_t*>(flood.data());
  size_t given = 0;
  size_t taken = 0;
  bool same = true;
  size_t capacity_max = 0;
  while (taken < 8 * kWindow) {
    // The peer fills the window at once, as the reader takes a little: something is kept all of the
    // time.
    while (pair.engine.kept() + kFrame <= kWindow) {
      size_t sent = 0;
      REQUIRE(pair.engine.Send(bytes + given % flood.size(), kFrame, &sent) !=
              AppSocket::Result::kReset);
      given += kFrame;
    }
    CHECK(pair.engine.kept() > 0);
    const std::string got = ReceiveUpTo(pair.application, kFrame * 3 / 4);
    REQUIRE(got.size() == kFrame * 3 / 4);
    for (const char byte : got) same = same && byte == flood[taken++ % flood.size()];
    size_t sent = 0;
    REQUIRE(pair.engine.SendKept(&sent) == AppSocket::Result::kBlocked);
    capacity_max = std::max(capacity_max, pair.engine.kept_capacity());
  }
  CHECK(same);
  CHECK(capacity_max <= 3 * kWindow);
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
