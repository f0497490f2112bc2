// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <napi.h>

namespace groundwire::binding {

/// probe({pinDirectory, podsCgroup, agentCgroup, bpfDirectory}) → KernelFeature[] of
/// src/engine/port.ts
Napi::Value Probe(const Napi::CallbackInfo& info);

}  // namespace groundwire::binding
