// SPDX-License-Identifier: Apache-2.0
// What a relay and its sockets do with readers that are slow and with peers that end badly.
#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>

#include "app_socket.h"
#include "check.h"
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
    // The peer fills the window at once, as the reader takes a little: something is kept all of the time.
    while (pair.engine.kept() + kFrame <= kWindow) {
      size_t sent = 0;
      REQUIRE(pair.engine.Send(bytes + given % flood.size(), kFrame, &sent) != AppSocket::Result::kReset);
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

RUN_TESTS()
