// SPDX-License-Identifier: Apache-2.0
#include "engine_handle.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "kernel_error.h"

namespace groundwire::binding {
namespace {

// Random: a foreign external that a caller passes by mistake is told from ours instead of being
// reinterpreted.
constexpr napi_type_tag kHandleTag = {0x5a1f3c9be0d24776, 0x91c7e85d40ab62f3};

// Events of one turn of the event loop, which are a few milliseconds of work. More are delivered in the
// next turns, so that timers and sockets get theirs, and a pod's question waits for the turn under way
// and not for all that another pod asks.
constexpr size_t kEventsPerTurnMax = 64;

// Wakes are coalesced: one that waits will drain all that came before it, so a second has nothing
// to add.
constexpr size_t kWakesWaitingMax = 1;

}  // namespace

EngineHandle::EngineHandle(Napi::Env env, const Napi::Function& error_class)
    : env_(env), error_class_(Napi::Persistent(error_class)) {}

EngineHandle::~EngineHandle() { End(); }

Napi::Value EngineHandle::Open(Napi::Env env, const msg::EngineOptions& options,
                               const Napi::Function& error_class) {
  std::unique_ptr<EngineHandle> handle(new EngineHandle(env, error_class));
  if (!handle->MakeWakeFunction()) return {};
  Result<std::unique_ptr<Engine>> engine = Engine::Open(options, handle.get());
  if (!engine.ok()) {
    ThrowKernelError(env, error_class, "ERR_ENGINE_OPEN", engine.status());
    return {};
  }
  handle->engine_ = std::move(engine.value());
  auto external = Napi::External<EngineHandle>::New(
      env, handle.get(), [](Napi::Env, EngineHandle* owned) { delete owned; });
  static_cast<void>(handle.release());  // The finalizer owns it now.
  external.TypeTag(&kHandleTag);
  return external;
}

EngineHandle* EngineHandle::From(const Napi::Value& value) {
  if (!value.IsExternal()) return nullptr;
  const auto external = value.As<Napi::External<EngineHandle>>();
  return external.CheckTypeTag(&kHandleTag) ? external.Data() : nullptr;
}

bool EngineHandle::MakeWakeFunction() {
  const napi_value name = Napi::String::New(env_, "groundwire engine events");
  const napi_status made = napi_create_threadsafe_function(
      env_, nullptr, nullptr, name, kWakesWaitingMax, 1, nullptr, nullptr, this, OnWake, &wake_);
  if (made != napi_ok) {
    Napi::Error::New(env_, "napi_create_threadsafe_function failed").ThrowAsJavaScriptException();
    return false;
  }
  // Hooks run in reverse order: ours, made later, ends the threads before Node takes the function
  // they call away.
  napi_add_env_cleanup_hook(env_, OnEnvironmentEnd, this);
  return true;
}

void EngineHandle::OnEnvironmentEnd(void* handle) { static_cast<EngineHandle*>(handle)->End(); }

void EngineHandle::Wake() {
  const std::scoped_lock lock(wake_mutex_);
  if (wake_ == nullptr) return;
  // napi_queue_full: a wake waits already. napi_closing: the environment ends, and the function
  // must not be used again.
  if (napi_call_threadsafe_function(wake_, nullptr, napi_tsfn_nonblocking) == napi_closing) {
    wake_ = nullptr;
  }
}

void EngineHandle::OnWake(napi_env env, napi_value, void* handle, void*) {
  // A wake that was still waiting when the handle ended comes without an environment, and maybe
  // without a handle.
  if (env == nullptr) return;
  const Napi::HandleScope scope(env);
  static_cast<EngineHandle*>(handle)->DeliverBatch();
}

bool EngineHandle::DeliverBatch() {
  if (engine_ == nullptr || callback_.IsEmpty()) return false;
  std::vector<uint8_t> packed;
  uint64_t dropped = 0;
  // The engine wakes us again when it holds more than this.
  const size_t count = engine_->DrainEvents(&packed, kEventsPerTurnMax, &dropped);
  if (count == 0 && dropped == 0) return false;
  const auto bytes = Napi::Buffer<uint8_t>::Copy(env_, packed.data(), packed.size());
  const auto lost = Napi::Number::New(env_, static_cast<double>(dropped));
  const napi_value arguments[] = {bytes, lost};
  napi_value result = nullptr;
  napi_call_function(env_, env_.Undefined(), callback_.Value(), std::size(arguments), arguments,
                     &result);
  // The callback may have closed this handle. What it threw is an error that nobody caught, as in a
  // timer.
  if (env_.IsExceptionPending()) {
    napi_fatal_exception(env_, env_.GetAndClearPendingException().Value());
  }
  return count > 0;
}

void EngineHandle::Subscribe(const Napi::Function& callback) {
  callback_ = Napi::Persistent(callback);
  Wake();
}

void EngineHandle::Close() {
  if (!open()) return;
  closing_ = true;
  engine_->Close();
  while (DeliverBatch()) {
  }
  End();
}

void EngineHandle::End() {
  engine_.reset();
  callback_.Reset();
  napi_threadsafe_function wake = nullptr;
  {
    const std::scoped_lock lock(wake_mutex_);
    wake = std::exchange(wake_, nullptr);
  }
  if (wake == nullptr) return;
  napi_remove_env_cleanup_hook(env_, OnEnvironmentEnd, this);
  napi_release_threadsafe_function(wake, napi_tsfn_abort);
}

}  // namespace groundwire::binding
