// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "capture/pod.h"
#include "capture/pod_sockets.h"
#include "dns/dns_message.h"
#include "io/thread_context.h"
#include "port/messages.gen.h"

namespace groundwire {

/// One query on its way to the upstream resolvers, one after the other, over the transport it came
/// by: from the pod's namespace, where its routes and its network policy hold, or from the node's
/// (docs/adr/0014).
///
///   an answer to it                           that is the answer
///   SERVFAIL, NOTIMP, REFUSED                 the next one; when there is none, the first such answer
///   refused by the network, nothing in time   the next one; when there is none, no answer
///   something else                            dns_forward_mismatched; after 16 of them the next one
class DnsForward final : public EventHandler, public Discardable {
 public:
  /// Called once; empty: no resolver answered. The receiver discards the forward.
  using Done = std::function<void(const std::vector<uint8_t>& answer)>;

  DnsForward(const ThreadContext& thread, PodSockets* sockets, std::shared_ptr<const Pod> pod,
             msg::DnsTransport transport, std::vector<uint8_t> query, Done done);
  ~DnsForward() override { Stop(); }

  void Start() { TryNext(); }
  void Stop();
  void OnEvents(uint32_t events) override;

 private:
  void TryNext();
  bool Open(const msg::UpstreamResolver& resolver);
  void Receive();
  void SendTcp();
  /// Whether that was the end of the conversation with this resolver.
  bool Take(std::span<const uint8_t> message);

  const ThreadContext& thread_;
  PodSockets* const sockets_;
  const std::shared_ptr<const Pod> pod_;
  const msg::DnsTransport transport_;
  const std::vector<uint8_t> query_;
  const Done done_;
  size_t next_ = 0;
  bool over_ = false;
  bool sent_ = false;
  int mismatched_ = 0;  // from this resolver
  std::vector<uint8_t> refusal_;
  UniqueFd fd_;
  DnsFrames frames_;
  EventLoop::TimerId deadline_{};
};

}  // namespace groundwire
