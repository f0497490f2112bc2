// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>

#include "base/address.h"
#include "base/error_code.gen.h"
#include "base/unique_fd.h"
#include "capture/pod.h"
#include "io/event_loop.h"

namespace groundwire {

class Worker;

/// Accepts from one listener of a pod on one worker; the listener is shared by all workers, one is
/// woken a connection.
class Acceptor final : public EventHandler, public Discardable {
 public:
  enum class Kind : uint8_t { kOutbound, kInboundPlaintext, kInboundHbone, kDnsTcp };

  Acceptor(Worker* worker, std::shared_ptr<const Pod> pod, Kind kind, int listener);
  ~Acceptor() override { Stop(); }

  /// A listener that cannot be watched is tried again.
  void Start();
  void Stop();
  void OnEvents(uint32_t events) override;

 private:
  void Hand(UniqueFd fd, const SocketAddress& source);
  ErrorCode RefusalOfReturned(const UniqueFd& fd) const;
  void Pause();

  Worker* const worker_;
  const std::shared_ptr<const Pod> pod_;
  const Kind kind_;
  const int listener_;
  bool watching_ = false;
  uint64_t pause_ms_;
  EventLoop::TimerId resume_{};
};

}  // namespace groundwire
