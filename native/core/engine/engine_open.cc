// SPDX-License-Identifier: Apache-2.0
// The engine over the real kernel side; apart from engine.cc, so that tests of the rest need
// neither libbpf nor root.
#include <memory>
#include <utility>

#include "engine/engine.h"

namespace groundwire {

Result<std::unique_ptr<Engine>> Engine::Open(const msg::EngineOptions& options, EventSink* sink) {
  auto capture =
      NodeCapture::Open({options.pin_directory, options.pods_cgroup, options.agent_cgroup,
                         options.probe_cgroup.value_or(""), options.bpf_directory});
  if (!capture.ok()) return capture.status();
  return OpenWith(options, sink, std::move(capture.value()), MakePodSockets());
}

}  // namespace groundwire
