// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/counters.h"
#include "base/unique_fd.h"
#include "io/event_loop.h"

namespace groundwire {

/// Sockets whose owners have said all they had to say.
///
/// Where a socket is closed while its peer still sends, and be it a WINDOW_UPDATE for what it has
/// just read, the kernel answers with a reset and drops what is still under way. So such a socket
/// only says its end here, and is read, for nobody, until the peer ends too. A peer that does not
/// is waited for no longer than kMaxMs, nor for more than kDiscardedMax bytes; then the socket is
/// closed, and counted.
class LingeringSockets {
 public:
  static constexpr uint64_t kMaxMs = 5000;
  static constexpr size_t kDiscardedMax = size_t{16} << 20;

  /// `on_gone`: no socket of that pod is left, but for EndPod; put off to the end of the turn.
  LingeringSockets(EventLoop* loop, Counters* counters, std::function<void(uint32_t pod)> on_gone);
  ~LingeringSockets();
  LingeringSockets(const LingeringSockets&) = delete;
  LingeringSockets& operator=(const LingeringSockets&) = delete;

  /// `unsent` leaves first. The loop may watch `fd` already, for its former owner.
  void Take(UniqueFd fd, std::vector<uint8_t> unsent, uint32_t pod);
  bool Has(uint32_t pod) const { return of_pod_.contains(pod); }
  /// Closes all of that pod as they are.
  void EndPod(uint32_t pod);

 private:
  class Socket;
  void Remove(Socket* socket, bool cut);

  EventLoop* const loop_;
  Counters* const counters_;
  const std::function<void(uint32_t pod)> on_gone_;
  /// No entry is empty.
  std::unordered_map<uint32_t, std::vector<std::unique_ptr<Socket>>> of_pod_;
};

}  // namespace groundwire
