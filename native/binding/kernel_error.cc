// SPDX-License-Identifier: Apache-2.0
#include "kernel_error.h"

namespace groundwire::binding {

void ThrowKernelError(Napi::Env env, const Napi::Function& error_class, const char* code,
                      const Status& status) {
  Napi::Object fields = Napi::Object::New(env);
  fields.Set("op", status.op);
  fields.Set("errno", Napi::Number::New(env, status.errno_value));
  fields.Set("detail", status.detail);
  const Napi::Value message = Napi::String::New(env, status.ToString());
  Napi::Object error = error_class.New({Napi::String::New(env, code), message, fields});
  // The class is JavaScript: when its constructor threw, that exception is pending already.
  if (env.IsExceptionPending()) return;
  napi_throw(env, error);
}

}  // namespace groundwire::binding
