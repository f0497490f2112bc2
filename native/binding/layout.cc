// SPDX-License-Identifier: Apache-2.0
#include "layout.h"

#include <cstdint>
#include <string>

#include "base/error_code.gen.h"
#include "mesh_abi.h"
#include "port/messages.gen.h"

namespace groundwire::binding {
namespace {

constexpr const char* kCounterNames[] = {
#define COUNTER_NAME(symbol, name) name,
    MESH_COUNTERS(COUNTER_NAME)
#undef COUNTER_NAME
};

}  // namespace

Napi::Value Layout(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Object codes = Napi::Object::New(env);
  for (const ErrorCodeEntry& entry : ErrorCodes()) {
    codes.Set(std::string(entry.name), Napi::Number::New(env, static_cast<uint16_t>(entry.code)));
  }
  Napi::Array counters = Napi::Array::New(env);
  for (uint32_t i = 0; i < std::size(kCounterNames); ++i) counters.Set(i, kCounterNames[i]);
  Napi::Object layout = Napi::Object::New(env);
  layout.Set("schemaHash", std::string(msg::kSchemaHash));
  layout.Set("abiVersion", Napi::Number::New(env, MESH_ABI_VERSION));
  layout.Set("codes", codes);
  layout.Set("counters", counters);
  return layout;
}

}  // namespace groundwire::binding
