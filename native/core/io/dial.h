// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "base/address.h"
#include "base/error_code.gen.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "io/event_loop.h"

namespace groundwire {

class DialOwner {
 public:
  /// kNone: `fd` is connected. Called once, maybe from within Start; the owner may
  /// delete the dial here.
  virtual void OnDialled(ErrorCode code, UniqueFd fd) = 0;

 protected:
  ~DialOwner() = default;
};

/// One TCP connect with a deadline.
class Dial final : public EventHandler {
 public:
  Dial(EventLoop* loop, DialOwner* owner) : loop_(loop), owner_(owner) {}
  ~Dial() { Cancel(); }
  Dial(const Dial&) = delete;
  Dial& operator=(const Dial&) = delete;

  /// kPod: an application on this node.
  enum class Reach : uint8_t { kPod, kAnywhere };

  /// Takes the socket, of the destination's family, or the reason why there is none.
  void Start(Result<int> socket, const SocketAddress& destination, Reach reach,
             uint32_t timeout_ms);
  /// The owner is not called any more.
  void Cancel();
  void OnEvents(uint32_t events) override;

 private:
  void Finish(ErrorCode code);

  EventLoop* const loop_;
  DialOwner* const owner_;
  UniqueFd fd_;
  EventLoop::TimerId deadline_{};
};

}  // namespace groundwire
