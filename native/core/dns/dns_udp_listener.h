// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <utility>

#include "dns/dns_relay.h"

namespace groundwire {

/// The DNS listener of a pod for datagrams; each of them is a query.
class DnsRelay::UdpListener final : public EventHandler, public Discardable {
 public:
  UdpListener(DnsRelay* relay, std::shared_ptr<const Pod> pod)
      : relay_(relay), pod_(std::move(pod)) {}
  ~UdpListener() override { Stop(); }
  bool Start();
  void Stop();
  void OnEvents(uint32_t events) override;

 private:
  bool ReceiveOne();

  DnsRelay* const relay_;
  const std::shared_ptr<const Pod> pod_;
  bool watching_ = false;
};

}  // namespace groundwire
