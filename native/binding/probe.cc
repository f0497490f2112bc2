// SPDX-License-Identifier: Apache-2.0
#include "probe.h"

#include <cstdint>
#include <string>
#include <vector>

#include "capture/kernel_probe.h"

namespace groundwire::binding {
namespace {

struct PathField {
  const char* name;
  std::string NodeCaptureOptions::*member;
};

constexpr PathField kPathFields[] = {
    {"podsCgroup", &NodeCaptureOptions::pods_cgroup},
    {"agentCgroup", &NodeCaptureOptions::agent_cgroup},
    {"bpfDirectory", &NodeCaptureOptions::bpf_directory},
};

Napi::Object ToObject(Napi::Env env, const KernelFeature& feature) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("name", feature.name);
  object.Set("present", feature.present);
  object.Set("required", feature.required);
  object.Set("detail", feature.detail);
  object.Set("remedy", feature.remedy);
  return object;
}

}  // namespace

Napi::Value Probe(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  NodeCaptureOptions options;
  for (const PathField& field : kPathFields) {
    Napi::Value value;
    if (info[0].IsObject()) value = info[0].As<Napi::Object>().Get(field.name);
    if (value.IsEmpty() || !value.IsString()) {
      const std::string text = std::string("probe: ") + field.name + " must be a string";
      Napi::TypeError::New(env, text).ThrowAsJavaScriptException();
      return {};
    }
    options.*field.member = value.As<Napi::String>().Utf8Value();
  }
  const std::vector<KernelFeature> features = ProbeKernel(options);
  Napi::Array rows = Napi::Array::New(env, features.size());
  for (uint32_t i = 0; i < features.size(); ++i) rows.Set(i, ToObject(env, features[i]));
  return rows;
}

}  // namespace groundwire::binding
