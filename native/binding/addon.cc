// SPDX-License-Identifier: Apache-2.0
// The verbs that cross. A new feature is a new kind of message, not a new verb.
#include <napi.h>

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "byte_argument.h"
#include "engine_handle.h"
#include "kernel_error.h"
#include "layout.h"
#include "probe.h"

namespace groundwire::binding {
namespace {

using Napi::CallbackInfo;
using Napi::Value;

Value TypeErrorOf(Napi::Env env, const char* text) {
  Napi::TypeError::New(env, text).ThrowAsJavaScriptException();
  return {};
}

/// The open engine that the first argument holds; otherwise nullptr with an exception pending.
EngineHandle* OpenHandle(const CallbackInfo& info) {
  EngineHandle* handle = EngineHandle::From(info[0]);
  if (handle == nullptr) {
    TypeErrorOf(info.Env(), "the first argument must be an engine handle");
    return nullptr;
  }
  if (!handle->open()) {
    ThrowKernelError(info.Env(), handle->error_class(), "ERR_ENGINE_CLOSED",
                     Status::Error("use the engine", 0, "it has been closed"));
    return nullptr;
  }
  return handle;
}

/// Decodes a batch of messages that TypeScript packed; nullopt with an exception pending when it is
/// not one.
template <typename Message>
std::optional<std::vector<Message>> ReadBatch(const CallbackInfo& info, size_t index,
                                              const EngineHandle& handle) {
  const auto bytes = ByteArgument(info, index);
  if (!bytes) {
    TypeErrorOf(info.Env(), "a batch must be a Uint8Array");
    return std::nullopt;
  }
  std::vector<Message> messages;
  if (!msg::DecodeBatch(*bytes, &messages)) {
    ThrowKernelError(info.Env(), handle.error_class(), "ERR_ENGINE_MESSAGE",
                     Status::Error("decode batch", 0, "the bytes are not what the schema says"));
    return std::nullopt;
  }
  return messages;
}

/// open(options, KernelError) → handle
Value Open(const CallbackInfo& info) {
  const auto bytes = ByteArgument(info, 0);
  if (!bytes || !info[1].IsFunction()) {
    return TypeErrorOf(info.Env(), "open(options, KernelError) wants packed options and a class");
  }
  const auto error_class = info[1].As<Napi::Function>();
  msg::EngineOptions options;
  if (!msg::DecodeWhole(*bytes, &options)) {
    ThrowKernelError(info.Env(), error_class, "ERR_ENGINE_OPEN",
                     Status::Error("decode options", 0, "the bytes are not what the schema says"));
    return {};
  }
  return EngineHandle::Open(info.Env(), options, error_class);
}

/// apply(handle, batch, commands)
Value Apply(const CallbackInfo& info) {
  EngineHandle* handle = OpenHandle(info);
  if (handle == nullptr) return {};
  bool lossless = false;
  uint64_t batch = 0;
  if (info[1].IsBigInt()) batch = info[1].As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless) return TypeErrorOf(info.Env(), "a batch's number must be a bigint of 64 bits");
  auto commands = ReadBatch<msg::Command>(info, 2, *handle);
  if (commands) handle->engine().Apply(batch, std::move(*commands));
  return {};
}

/// answer(handle, answers)
Value Answer(const CallbackInfo& info) {
  EngineHandle* handle = OpenHandle(info);
  if (handle == nullptr) return {};
  auto answers = ReadBatch<msg::Answer>(info, 1, *handle);
  if (answers) handle->engine().Answer(std::move(*answers));
  return {};
}

/// subscribe(handle, callback)
Value Subscribe(const CallbackInfo& info) {
  EngineHandle* handle = OpenHandle(info);
  if (handle == nullptr) return {};
  if (!info[1].IsFunction()) return TypeErrorOf(info.Env(), "the listener must be a function");
  handle->Subscribe(info[1].As<Napi::Function>());
  return {};
}

/// readSnapshot(handle, partsMask) → bytes
Value ReadSnapshot(const CallbackInfo& info) {
  EngineHandle* handle = OpenHandle(info);
  if (handle == nullptr) return {};
  if (!info[1].IsNumber()) return TypeErrorOf(info.Env(), "the mask of parts must be a number");
  std::vector<uint8_t> packed;
  const uint32_t parts = info[1].As<Napi::Number>().Uint32Value();
  handle->engine().ReadSnapshot(static_cast<uint8_t>(parts), &packed);
  return Napi::Buffer<uint8_t>::Copy(info.Env(), packed.data(), packed.size());
}

/// close(handle); closing twice is closing once.
Value Close(const CallbackInfo& info) {
  EngineHandle* handle = EngineHandle::From(info[0]);
  if (handle == nullptr) {
    return TypeErrorOf(info.Env(), "the first argument must be an engine handle");
  }
  handle->Close();
  return {};
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("open", Napi::Function::New<Open>(env, "open"));
  exports.Set("apply", Napi::Function::New<Apply>(env, "apply"));
  exports.Set("answer", Napi::Function::New<Answer>(env, "answer"));
  exports.Set("subscribe", Napi::Function::New<Subscribe>(env, "subscribe"));
  exports.Set("readSnapshot", Napi::Function::New<ReadSnapshot>(env, "readSnapshot"));
  exports.Set("close", Napi::Function::New<Close>(env, "close"));
  exports.Set("probe", Napi::Function::New<Probe>(env, "probe"));
  exports.Set("layout", Napi::Function::New<Layout>(env, "layout"));
  return exports;
}

}  // namespace
}  // namespace groundwire::binding

// At file scope because the macro defines the symbol that Node looks for.
static Napi::Object InitAddon(Napi::Env env, Napi::Object exports) {
  return groundwire::binding::Init(env, exports);
}
NODE_API_MODULE(groundwire, InitAddon)
