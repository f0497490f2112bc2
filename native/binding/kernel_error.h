// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <napi.h>

#include <string>

#include "base/status.h"

namespace groundwire::binding {

/// Makes `new KernelError(code, message, {op, errno, detail})` the pending exception. `error_class`
/// is the class that TypeScript handed to the verb; the caller returns at once.
void ThrowKernelError(Napi::Env env, const Napi::Function& error_class, const char* code,
                      const Status& status);

}  // namespace groundwire::binding
