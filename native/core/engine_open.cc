// SPDX-License-Identifier: Apache-2.0
// The engine over the real kernel side; apart from engine.cc, so that tests of the rest need
// neither libbpf nor root.
#include <utility>

#include "engine.h"

namespace groundwire {
namespace {

class KernelPodSockets final : public PodSockets {
 public:
  Result<int> OpenPodSocket(int netns_fd, int family) override {
    return groundwire::OpenPodSocket(netns_fd, family);
  }
  Result<int> OpenDeliverySocket(int netns_fd, const SocketAddress& client,
                                 const SocketAddress& application) override {
    return groundwire::OpenDeliverySocket(netns_fd, client, application);
  }
  Result<int> OpenDnsReplySocket(int netns_fd, const SocketAddress& server) override {
    return groundwire::OpenDnsReplySocket(netns_fd, server);
  }
  Result<int> OpenDnsQuerySocket(int netns_fd, int family) override {
    return groundwire::OpenDnsQuerySocket(netns_fd, family);
  }
  bool IsDelivery(int accepted) override { return groundwire::IsDelivery(accepted); }
};

}  // namespace

Result<std::unique_ptr<Engine>> Engine::Open(const EngineOptions& options, EventSink* sink) {
  auto capture =
      NodeCapture::Open({options.pin_directory, options.pods_cgroup, options.agent_cgroup,
                         options.probe_cgroup, options.bpf_directory});
  if (!capture.ok()) return capture.status();
  return OpenWith(options, sink, std::move(capture.value()), std::make_unique<KernelPodSockets>());
}

}  // namespace groundwire
