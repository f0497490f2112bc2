// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <napi.h>

namespace groundwire::binding {

/// probe(ProbeOptions) → ProbeReport, both packed as src/engine/port.schema.ts says
Napi::Value Probe(const Napi::CallbackInfo& info);

}  // namespace groundwire::binding
