// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "dns_message.h"
#include "event_loop.h"
#include "messages.gen.h"

namespace groundwire {

/// One query on its way to the upstream resolvers, one after the other, over the transport it came by. From the agent's
/// own namespace: the resolvers are the node's, and in a pod's namespace the rule that captures DNS makes the kernel take a
/// resolver's answer for a martian (its reverse path is looked up with the ports swapped, and that is a local route).
class DnsForward final : public EventHandler, public Discardable {
 public:
  /// Called once; empty: no resolver answered. The receiver discards the forward.
  using Done = std::function<void(std::vector<uint8_t> answer)>;

  DnsForward(EventLoop* loop, msg::DnsTransport transport, std::vector<uint8_t> query,
             std::vector<IpAddress> resolvers, Done done);
  ~DnsForward() override { Stop(); }

  void Start() { TryNext(); }
  void Stop();
  void OnEvents(uint32_t events) override;

 private:
  void TryNext();
  bool Open(const IpAddress& resolver);
  void Receive();
  void SendTcp();

  EventLoop* const loop_;
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
