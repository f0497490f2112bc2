// SPDX-License-Identifier: Apache-2.0
#include "probe.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "byte_argument.h"
#include "capture/kernel_probe.h"
#include "port/messages.gen.h"

namespace groundwire::binding {

Napi::Value Probe(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  msg::ProbeOptions options;
  const auto bytes = ByteArgument(info, 0);
  if (!bytes || !msg::DecodeWhole(*bytes, &options)) {
    Napi::TypeError::New(env, "probe(options) wants packed ProbeOptions")
        .ThrowAsJavaScriptException();
    return {};
  }
  NodeCaptureOptions places;
  places.pods_cgroup = std::move(options.pods_cgroup);
  places.agent_cgroup = std::move(options.agent_cgroup);
  places.bpf_directory = std::move(options.bpf_directory);
  const msg::ProbeReport report{ProbeKernel(places)};
  std::vector<uint8_t> packed;
  ByteWriter writer(&packed);
  Encode(writer, report);
  return Napi::Buffer<uint8_t>::Copy(env, packed.data(), packed.size());
}

}  // namespace groundwire::binding
