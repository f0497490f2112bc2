// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace groundwire::binding {
namespace {

struct TextField {
  const char* name;
  std::string EngineOptions::*member;
};

struct NumberField {
  const char* name;
  uint32_t EngineOptions::*member;
};

constexpr TextField kTextFields[] = {
    {"pinDirectory", &EngineOptions::pin_directory}, {"podsCgroup", &EngineOptions::pods_cgroup},
    {"agentCgroup", &EngineOptions::agent_cgroup},   {"probeCgroup", &EngineOptions::probe_cgroup},
    {"bpfDirectory", &EngineOptions::bpf_directory}, {"trustDomain", &EngineOptions::trust_domain},
};

constexpr NumberField kNumberFields[] = {
    {"workerThreads", &EngineOptions::worker_threads},
    {"connectTimeoutMs", &EngineOptions::connect_timeout_ms},
    {"tlsTimeoutMs", &EngineOptions::tls_timeout_ms},
    {"verdictTimeoutMs", &EngineOptions::verdict_timeout_ms},
    {"verdictQueueMax", &EngineOptions::verdict_queue_max},
    {"connectionsMax", &EngineOptions::connections_max},
    {"streamsPerTunnelMax", &EngineOptions::streams_per_tunnel_max},
    {"tunnelIdleMs", &EngineOptions::tunnel_idle_ms},
    {"streamWindowBytes", &EngineOptions::stream_window_bytes},
    {"connectionWindowBytes", &EngineOptions::connection_window_bytes},
    {"keptMemoryBytes", &EngineOptions::kept_memory_bytes},
    {"pingIntervalMs", &EngineOptions::ping_interval_ms},
    {"pingTimeoutMs", &EngineOptions::ping_timeout_ms},
};

Status Wanted(const char* name, const char* what) {
  return Status::Error("read options", 0, std::string(name) + " must be " + what);
}

std::optional<uint32_t> ReadCount(const Napi::Value& value) {
  if (!value.IsNumber()) return std::nullopt;
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= 1 && number <= std::numeric_limits<uint32_t>::max())) return std::nullopt;
  if (std::trunc(number) != number) return std::nullopt;
  return static_cast<uint32_t>(number);
}

std::optional<UpstreamResolver> ReadResolver(const Napi::Value& value) {
  if (!value.IsObject()) return std::nullopt;
  const auto object = value.As<Napi::Object>();
  const Napi::Value address = object.Get("address");
  const Napi::Value from_node = object.Get("fromNode");
  if (!address.IsString() || !from_node.IsBoolean()) return std::nullopt;
  const auto parsed = IpAddress::Parse(address.As<Napi::String>().Utf8Value());
  if (!parsed) return std::nullopt;
  return UpstreamResolver{*parsed, from_node.As<Napi::Boolean>().Value()};
}

Status ReadResolvers(const Napi::Value& value, std::vector<UpstreamResolver>* resolvers) {
  constexpr const char* kName = "upstreamResolvers";
  constexpr const char* kWanted = "an array of {address: IP address, fromNode: boolean}";
  if (!value.IsArray()) return Wanted(kName, kWanted);
  const auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const auto resolver = ReadResolver(array.Get(i));
    if (!resolver) return Wanted(kName, kWanted);
    resolvers->push_back(*resolver);
  }
  return Status::Ok();
}

}  // namespace

Result<EngineOptions> ReadEngineOptions(const Napi::Object& object) {
  EngineOptions options;
  for (const TextField& field : kTextFields) {
    const Napi::Value value = object.Get(field.name);
    if (!value.IsString()) return Wanted(field.name, "a string");
    options.*field.member = value.As<Napi::String>().Utf8Value();
  }
  for (const NumberField& field : kNumberFields) {
    const std::optional<uint32_t> count = ReadCount(object.Get(field.name));
    if (!count) return Wanted(field.name, "an integer from 1 to 4294967295");
    options.*field.member = *count;
  }
  Status status = ReadResolvers(object.Get("upstreamResolvers"), &options.upstream_resolvers);
  if (!status.ok()) return status;
  return options;
}

}  // namespace groundwire::binding
