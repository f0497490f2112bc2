// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <napi.h>

#include "base/status.h"
#include "port/engine_options.h"

namespace groundwire::binding {

/// Reads the EngineOptions of src/engine/port.ts. Every field must be there with its type: a
/// misspelt one is named in the error instead of being replaced by a default.
Result<EngineOptions> ReadEngineOptions(const Napi::Object& object);

}  // namespace groundwire::binding
