// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dns/dns_relay.h"
#include "io/app_socket.h"

namespace groundwire {

/// One TCP connection of a resolver library: queries in any number, answers in the order in which
/// they come.
class DnsRelay::TcpClient final : public EventHandler, public Discardable {
 public:
  TcpClient(DnsRelay* relay, uint64_t id, std::shared_ptr<const Pod> pod, UniqueFd fd,
            const SocketAddress& source);
  ~TcpClient() override;
  bool Start();
  void OnEvents(uint32_t events) override;
  /// The turn that it waited for has come, or room for another query.
  void Resume();
  /// The end of one of its queries; `message` is empty when there is nothing to say.
  void Reply(std::span<const uint8_t> message);
  void Stop() { socket_.CloseWithReset(); }
  const Pod& pod() const { return *pod_; }

 private:
  /// So much a turn that one client cannot keep the worker from the others; what is left stays with
  /// the kernel.
  void Receive();
  bool ReadMore();
  void Ask(std::vector<uint8_t> message);
  /// A client that has said all is owed the answers; then the connection ends.
  void EndIfDone();
  void Wait();
  void RestartIdle();
  void End();

  DnsRelay* const relay_;
  const uint64_t id_;
  const std::shared_ptr<const Pod> pod_;
  const SocketAddress source_;
  const SocketAddress server_;
  AppSocket socket_;
  DnsFrames frames_;
  bool waiting_ = false;  // it is in the relay's list
  uint32_t pending_ = 0;  // queries under way
  EventLoop::TimerId idle_{};
};

}  // namespace groundwire
