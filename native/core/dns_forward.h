// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "dns_message.h"
#include "event_loop.h"
#include "messages.gen.h"
#include "pod.h"
#include "pod_sockets.h"

namespace groundwire {

/// One query on its way to the upstream resolvers, one after the other, from the pod's namespace, over the transport it
/// came by.
class DnsForward final : public EventHandler, public Discardable {
 public:
  /// Called once; empty: no resolver answered. The receiver discards the forward.
  using Done = std::function<void(std::vector<uint8_t> answer)>;

  DnsForward(EventLoop* loop, PodSockets* sockets, std::shared_ptr<const Pod> pod, msg::DnsTransport transport,
             std::vector<uint8_t> query, std::vector<IpAddress> resolvers, Done done);
  ~DnsForward() override { Stop(); }

  void Start() { TryNext(); }
  void Stop();
  void OnEvents(uint32_t events) override;

 private:
  void TryNext();
  bool Open(const IpAddress& resolver);
  bool OpenUdp(const SocketAddress& resolver);
  bool OpenTcp(const SocketAddress& resolver);
  void Receive();
  void SendTcp();

  EventLoop* const loop_;
  PodSockets* const sockets_;
  const std::shared_ptr<const Pod> pod_;
  const msg::DnsTransport transport_;
  const std::vector<uint8_t> query_;
  const std::vector<IpAddress> resolvers_;
  const Done done_;
  size_t next_ = 0;
  bool over_ = false;
  bool sent_ = false;
  UniqueFd fd_;
  DnsFrames frames_;
  EventLoop::TimerId deadline_{};
};

}  // namespace groundwire
