// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <utility>

#include "base/unique_fd.h"
#include "io/app_socket.h"
#include "io/event_loop.h"
#include "io/thread_context.h"
#include "relay/relay_end.h"

namespace groundwire {

/// A connected TCP socket as an end of a relay, watched by nobody before Start.
class SocketEnd final : public RelayEnd, public EventHandler {
 public:
  /// `account` pays for what its reader leaves waiting, and outlives it.
  SocketEnd(const ThreadContext& thread, KeptAccount* account, UniqueFd fd)
      : thread_(thread), account_(account), socket_(std::move(fd), account) {}

  bool Start(Relay* relay) override;
  Result Receive(uint8_t* buffer, size_t* size) override { return socket_.Receive(buffer, size); }
  bool readable() const override { return socket_.readable(); }
  bool drained() const override { return socket_.drained(); }
  void Consume(size_t) override {}
  bool Ask() override;
  Result Send(const uint8_t* data, size_t size, size_t* sent) override {
    return socket_.Send(data, size, sent);
  }
  size_t kept() const override { return socket_.kept(); }
  void FinishSending() override { socket_.FinishSending(); }
  bool finished_sending() const override { return socket_.finished_sending(); }
  bool AllTaken() const override { return socket_.AllTaken(); }
  bool broken() const override { return socket_.broken(); }
  bool open() const override { return !socket_.broken(); }
  void Close() override { socket_.Close(); }
  void Reset() override { socket_.CloseWithReset(); }

  void OnEvents(uint32_t events) override;

 private:
  const ThreadContext& thread_;
  KeptAccount* const account_;
  Relay* relay_ = nullptr;
  AppSocket socket_;
};

}  // namespace groundwire
