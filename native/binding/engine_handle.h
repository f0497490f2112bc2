// SPDX-License-Identifier: Apache-2.0
// One open engine as JavaScript holds it. Made, used and destroyed on the JavaScript thread of its
// environment; only Wake comes from the engine's threads.
#pragma once
#include <napi.h>

#include <memory>
#include <mutex>

#include "engine/engine.h"

namespace groundwire::binding {

class EngineHandle final : public EventSink {
 public:
  /// Opens the engine and wraps it in a type-tagged external. On failure KernelError is pending and
  /// the value is empty.
  static Napi::Value Open(Napi::Env env, const msg::EngineOptions& options,
                          const Napi::Function& error_class);
  /// The handle inside a value that Open returned; nullptr for every other value.
  static EngineHandle* From(const Napi::Value& value);

  ~EngineHandle() override;
  EngineHandle(const EngineHandle&) = delete;
  EngineHandle& operator=(const EngineHandle&) = delete;

  bool open() const { return engine_ != nullptr && !closing_; }
  /// Only while open.
  Engine& engine() { return *engine_; }
  Napi::Function error_class() const { return error_class_.Value(); }

  /// `callback(packed events, dropped)` from now on, also for the events that wait already.
  void Subscribe(const Napi::Function& callback);
  /// Ends the engine, delivers its last events and lets go of the callback. Idempotent.
  void Close();

  void Wake() override;

 private:
  EngineHandle(Napi::Env env, const Napi::Function& error_class);

  static void OnWake(napi_env env, napi_value callback, void* handle, void* data);
  static void OnEnvironmentEnd(void* handle);

  bool MakeWakeFunction();
  /// Hands one batch to the callback; false when none waited or nobody listens.
  bool DeliverBatch();
  /// Joins the engine's threads, then releases what they could have called.
  void End();

  const Napi::Env env_;
  Napi::FunctionReference error_class_;
  Napi::FunctionReference callback_;
  std::unique_ptr<Engine> engine_;
  bool closing_ = false;

  std::mutex wake_mutex_;
  napi_threadsafe_function wake_ = nullptr;  // under wake_mutex_; null: nobody is to be woken
};

}  // namespace groundwire::binding
