// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <napi.h>

namespace groundwire::binding {

/// layout() → {schemaHash, abiVersion, codes: {NAME: number}, counters: [name]}: what this build
/// was made of, for the check at open and for the tests that compare it with the TypeScript side.
Napi::Value Layout(const Napi::CallbackInfo& info);

}  // namespace groundwire::binding
