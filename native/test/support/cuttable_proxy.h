// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "io/socket_options.h"
#include "support/loopback.h"

namespace groundwire {

/// A wire between two engines that a test can cut: every connection through it is reset, new ones
/// go through; or stall: nothing goes through until it is to go on. With MSG_OOB as `send_flags` the last byte of all that it carries is urgent.
class CuttableProxy {
 public:
  explicit CuttableProxy(const SocketAddress& upstream, int send_flags = 0)
      : upstream_(upstream),
        send_flags_(send_flags | MSG_NOSIGNAL),
        listener_(ListenOn("10.202.0.99")) {
    // Little fits into a wire that has stalled.
    const int bytes = 65536;
    (void)setsockopt(listener_.get(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    thread_ = std::thread([this] { Loop(); });
  }
  ~CuttableProxy() {
    shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  SocketAddress address() const { return LocalAddress(listener_.get()); }
  void Stall() {
    const std::lock_guard lock(mutex_);
    stalled_ = true;
  }
  void Resume() {
    const std::lock_guard lock(mutex_);
    stalled_ = false;
  }
  void Cut() {
    const std::lock_guard lock(mutex_);
    for (Pair& pair : pairs_) {
      CloseWithReset(&pair.a);
      CloseWithReset(&pair.b);
    }
    pairs_.clear();
  }

 private:
  struct Pair {
    UniqueFd a;
    UniqueFd b;
    bool a_ended = false;
    bool b_ended = false;
  };

  /// One side's end is passed on like its bytes: the other one may have more to say.
  bool Copy(const UniqueFd& from, const UniqueFd& to, bool* ended) const {
    if (*ended) return true;
    std::array<char, 65536> buffer;
    const ssize_t count = recv(from.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (count < 0) return errno == EAGAIN;
    if (count == 0) {
      *ended = true;
      return shutdown(to.get(), SHUT_WR) == 0;
    }
    return send(to.get(), buffer.data(), static_cast<size_t>(count), send_flags_) == count;
  }
  void Loop() {
    for (;;) {
      pollfd ready{listener_.get(), POLLIN, 0};
      if (poll(&ready, 1, 1) == 1) {
        UniqueFd accepted(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!accepted.valid()) return;
        const std::lock_guard lock(mutex_);
        pairs_.push_back({std::move(accepted), ConnectTo(upstream_)});
      }
      const std::lock_guard lock(mutex_);
      if (stalled_) continue;
      std::erase_if(pairs_, [this](Pair& pair) {
        return !Copy(pair.a, pair.b, &pair.a_ended) || !Copy(pair.b, pair.a, &pair.b_ended) ||
               (pair.a_ended && pair.b_ended);
      });
    }
  }

  const SocketAddress upstream_;
  const int send_flags_;
  const UniqueFd listener_;
  std::mutex mutex_;
  bool stalled_ = false;
  std::vector<Pair> pairs_;
  std::thread thread_;
};

}  // namespace groundwire
