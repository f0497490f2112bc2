// SPDX-License-Identifier: Apache-2.0
// Generated from src/engine/port.schema.ts by scripts/gen.ts; edit that and run `npm run gen`.
// clang-format off
#include "port/messages.gen.h"

#include <iterator>

namespace groundwire::msg {
namespace {

template <typename E>
bool ReadEnum(ByteReader& reader, size_t values, E* out) {
  uint8_t index = 0;
  if (!reader.Read(&index) || index >= values) return false;
  *out = static_cast<E>(index);
  return true;
}

// The count is held against the bytes that are left before anything is allocated for it.
template <typename T, typename ReadItem>
bool ReadList(ByteReader& reader, size_t item_bytes_min, std::vector<T>* out, ReadItem read_item) {
  uint32_t count = 0;
  if (!reader.Read(&count) || count > reader.remaining() / item_bytes_min) return false;
  out->clear();
  for (uint32_t i = 0; i < count; ++i) {
    if (!read_item(&out->emplace_back())) return false;
  }
  return true;
}

template <typename T, typename ReadValue>
bool ReadOptional(ByteReader& reader, std::optional<T>* out, ReadValue read_value) {
  bool there = false;
  if (!reader.Read(&there)) return false;
  out->reset();
  return !there || read_value(&out->emplace());
}

}  // namespace

std::string_view NameOf(HopKind value) {
  static constexpr std::string_view kNames[] = {"hbone", "handoff", "passthrough"};
  const auto index = static_cast<size_t>(value);
  return index < std::size(kNames) ? kNames[index] : "invalid";
}

std::string_view NameOf(Direction value) {
  static constexpr std::string_view kNames[] = {"outbound", "inbound"};
  const auto index = static_cast<size_t>(value);
  return index < std::size(kNames) ? kNames[index] : "invalid";
}

std::string_view NameOf(ExistingConnections value) {
  static constexpr std::string_view kNames[] = {"keep", "close"};
  const auto index = static_cast<size_t>(value);
  return index < std::size(kNames) ? kNames[index] : "invalid";
}

std::string_view NameOf(ConsultedField value) {
  static constexpr std::string_view kNames[] = {"identity", "sourceAddress", "destinationPort", "authority", "service"};
  const auto index = static_cast<size_t>(value);
  return index < std::size(kNames) ? kNames[index] : "invalid";
}

std::string_view NameOf(DnsTransport value) {
  static constexpr std::string_view kNames[] = {"udp", "tcp"};
  const auto index = static_cast<size_t>(value);
  return index < std::size(kNames) ? kNames[index] : "invalid";
}

std::string_view NameOf(PodFaultKind value) {
  static constexpr std::string_view kNames[] = {"release", "listOld", "closeOld", "repaired", "repair"};
  const auto index = static_cast<size_t>(value);
  return index < std::size(kNames) ? kNames[index] : "invalid";
}

std::string_view NameOf(Security value) {
  static constexpr std::string_view kNames[] = {"mutual_tls", "handoff", "none"};
  const auto index = static_cast<size_t>(value);
  return index < std::size(kNames) ? kNames[index] : "invalid";
}

bool Decode(ByteReader& reader, AnswerChoice* message) {
  return ReadEnum(reader, 3, &message->kind) &&
         reader.Read(&message->weight) &&
         reader.Read(&message->next_hop) &&
         reader.Read(&message->hbone_authority) &&
         ReadList(reader, 4, &message->upstream_identities,
                  [&](auto* item) { return reader.Read(item); }) &&
         reader.Read(&message->destination_pod) &&
         reader.Read(&message->flow_label);
}

void Encode(ByteWriter& writer, const AnswerChoice& message) {
  writer.Write(static_cast<uint8_t>(message.kind));
  writer.Write(message.weight);
  writer.Write(message.next_hop);
  writer.Write(message.hbone_authority);
  writer.WriteCount(message.upstream_identities.size());
  for (const auto& item : message.upstream_identities) writer.Write(item);
  writer.Write(message.destination_pod);
  writer.Write(message.flow_label);
}

bool Decode(ByteReader& reader, PeerLabel* message) {
  return reader.Read(&message->address) &&
         reader.Read(&message->label);
}

void Encode(ByteWriter& writer, const PeerLabel& message) {
  writer.Write(message.address);
  writer.Write(message.label);
}

bool Decode(ByteReader& reader, TcpPair* message) {
  return reader.Read(&message->local) &&
         reader.Read(&message->remote);
}

void Encode(ByteWriter& writer, const TcpPair& message) {
  writer.Write(message.local);
  writer.Write(message.remote);
}

bool Decode(ByteReader& reader, UpstreamResolver* message) {
  return reader.Read(&message->address) &&
         reader.Read(&message->from_node);
}

void Encode(ByteWriter& writer, const UpstreamResolver& message) {
  writer.Write(message.address);
  writer.Write(message.from_node);
}

bool Decode(ByteReader& reader, KernelFeature* message) {
  return reader.Read(&message->name) &&
         reader.Read(&message->present) &&
         reader.Read(&message->required) &&
         reader.Read(&message->detail) &&
         reader.Read(&message->remedy);
}

void Encode(ByteWriter& writer, const KernelFeature& message) {
  writer.Write(message.name);
  writer.Write(message.present);
  writer.Write(message.required);
  writer.Write(message.detail);
  writer.Write(message.remedy);
}

bool Decode(ByteReader&, BatchApplied*) { return true; }

void Encode(ByteWriter&, const BatchApplied&) {}

bool Decode(ByteReader& reader, BatchFailed* message) {
  return reader.Read(&message->index) &&
         reader.Read(&message->op) &&
         reader.Read(&message->errno_value) &&
         reader.Read(&message->detail);
}

void Encode(ByteWriter& writer, const BatchFailed& message) {
  writer.Write(message.index);
  writer.Write(message.op);
  writer.Write(message.errno_value);
  writer.Write(message.detail);
}

bool Decode(ByteReader& reader, BatchOutcome* message) {
  uint8_t kind = 0;
  if (!reader.Read(&kind)) return false;
  switch (kind) {
    case BatchApplied::kKind:
      return Decode(reader, &message->emplace<BatchApplied>());
    case BatchFailed::kKind:
      return Decode(reader, &message->emplace<BatchFailed>());
    default:
      return false;
  }
}

void Encode(ByteWriter& writer, const BatchOutcome& message) {
  writer.Write(static_cast<uint8_t>(message.index()));
  std::visit([&](const auto& one) { Encode(writer, one); }, message);
}

bool Decode(ByteReader& reader, DnsReply* message) {
  return reader.Read(&message->message);
}

void Encode(ByteWriter& writer, const DnsReply& message) {
  writer.Write(message.message);
}

bool Decode(ByteReader& reader, DnsForward* message) {
  return reader.Read(&message->label);
}

void Encode(ByteWriter& writer, const DnsForward& message) {
  writer.Write(message.label);
}

bool Decode(ByteReader& reader, DnsOutcome* message) {
  uint8_t kind = 0;
  if (!reader.Read(&kind)) return false;
  switch (kind) {
    case DnsReply::kKind:
      return Decode(reader, &message->emplace<DnsReply>());
    case DnsForward::kKind:
      return Decode(reader, &message->emplace<DnsForward>());
    default:
      return false;
  }
}

void Encode(ByteWriter& writer, const DnsOutcome& message) {
  writer.Write(static_cast<uint8_t>(message.index()));
  std::visit([&](const auto& one) { Encode(writer, one); }, message);
}

bool Decode(ByteReader& reader, EngineOptions* message) {
  return reader.Read(&message->pin_directory) &&
         reader.Read(&message->pods_cgroup) &&
         reader.Read(&message->agent_cgroup) &&
         ReadOptional(reader, &message->probe_cgroup,
                      [&](auto* item) { return reader.Read(item); }) &&
         reader.Read(&message->bpf_directory) &&
         reader.Read(&message->trust_domain) &&
         reader.Read(&message->worker_threads) &&
         ReadList(reader, 17, &message->upstream_resolvers,
                  [&](auto* item) { return Decode(reader, item); }) &&
         reader.Read(&message->connect_timeout_ms) &&
         reader.Read(&message->tls_timeout_ms) &&
         reader.Read(&message->verdict_timeout_ms) &&
         reader.Read(&message->verdict_queue_max) &&
         reader.Read(&message->connections_max) &&
         reader.Read(&message->streams_per_tunnel_max) &&
         reader.Read(&message->tunnels_accepted_max) &&
         reader.Read(&message->tunnel_idle_ms) &&
         reader.Read(&message->stream_window_bytes) &&
         reader.Read(&message->connection_window_bytes) &&
         reader.Read(&message->kept_memory_bytes) &&
         reader.Read(&message->ping_interval_ms) &&
         reader.Read(&message->ping_timeout_ms);
}

void Encode(ByteWriter& writer, const EngineOptions& message) {
  writer.Write(message.pin_directory);
  writer.Write(message.pods_cgroup);
  writer.Write(message.agent_cgroup);
  writer.Write(message.probe_cgroup.has_value());
  if (message.probe_cgroup.has_value()) writer.Write(*message.probe_cgroup);
  writer.Write(message.bpf_directory);
  writer.Write(message.trust_domain);
  writer.Write(message.worker_threads);
  writer.WriteCount(message.upstream_resolvers.size());
  for (const auto& item : message.upstream_resolvers) Encode(writer, item);
  writer.Write(message.connect_timeout_ms);
  writer.Write(message.tls_timeout_ms);
  writer.Write(message.verdict_timeout_ms);
  writer.Write(message.verdict_queue_max);
  writer.Write(message.connections_max);
  writer.Write(message.streams_per_tunnel_max);
  writer.Write(message.tunnels_accepted_max);
  writer.Write(message.tunnel_idle_ms);
  writer.Write(message.stream_window_bytes);
  writer.Write(message.connection_window_bytes);
  writer.Write(message.kept_memory_bytes);
  writer.Write(message.ping_interval_ms);
  writer.Write(message.ping_timeout_ms);
}

bool Decode(ByteReader& reader, ProbeOptions* message) {
  return reader.Read(&message->pods_cgroup) &&
         reader.Read(&message->agent_cgroup) &&
         reader.Read(&message->bpf_directory);
}

void Encode(ByteWriter& writer, const ProbeOptions& message) {
  writer.Write(message.pods_cgroup);
  writer.Write(message.agent_cgroup);
  writer.Write(message.bpf_directory);
}

bool Decode(ByteReader& reader, ProbeReport* message) {
  return ReadList(reader, 14, &message->features,
                  [&](auto* item) { return Decode(reader, item); });
}

void Encode(ByteWriter& writer, const ProbeReport& message) {
  writer.WriteCount(message.features.size());
  for (const auto& item : message.features) Encode(writer, item);
}

bool Decode(ByteReader& reader, SetIdentity* message) {
  return reader.Read(&message->identity) &&
         reader.Read(&message->certificate_chain_pem) &&
         reader.Read(&message->private_key_pem) &&
         reader.Read(&message->trust_roots_pem) &&
         reader.Read(&message->not_after_ms);
}

void Encode(ByteWriter& writer, const SetIdentity& message) {
  writer.Write(message.identity);
  writer.Write(message.certificate_chain_pem);
  writer.Write(message.private_key_pem);
  writer.Write(message.trust_roots_pem);
  writer.Write(message.not_after_ms);
}

bool Decode(ByteReader& reader, RemoveIdentity* message) {
  return reader.Read(&message->identity);
}

void Encode(ByteWriter& writer, const RemoveIdentity& message) {
  writer.Write(message.identity);
}

bool Decode(ByteReader& reader, CapturePod* message) {
  return reader.Read(&message->pod) &&
         reader.Read(&message->uid) &&
         reader.Read(&message->netns_path) &&
         ReadList(reader, 16, &message->addresses,
                  [&](auto* item) { return reader.Read(item); }) &&
         reader.Read(&message->identity) &&
         ReadEnum(reader, 2, &message->existing) &&
         reader.Read(&message->dns);
}

void Encode(ByteWriter& writer, const CapturePod& message) {
  writer.Write(message.pod);
  writer.Write(message.uid);
  writer.Write(message.netns_path);
  writer.WriteCount(message.addresses.size());
  for (const auto& item : message.addresses) writer.Write(item);
  writer.Write(message.identity);
  writer.Write(static_cast<uint8_t>(message.existing));
  writer.Write(message.dns);
}

bool Decode(ByteReader& reader, ReleasePod* message) {
  return reader.Read(&message->pod) &&
         reader.Read(&message->drain_deadline_ms);
}

void Encode(ByteWriter& writer, const ReleasePod& message) {
  writer.Write(message.pod);
  writer.Write(message.drain_deadline_ms);
}

bool Decode(ByteReader& reader, SetPeers* message) {
  return ReadList(reader, 20, &message->peers,
                  [&](auto* item) { return Decode(reader, item); });
}

void Encode(ByteWriter& writer, const SetPeers& message) {
  writer.WriteCount(message.peers.size());
  for (const auto& item : message.peers) Encode(writer, item);
}

bool Decode(ByteReader& reader, InvalidateVerdicts* message) {
  return ReadList(reader, 8, &message->verdicts,
                  [&](auto* item) { return reader.Read(item); });
}

void Encode(ByteWriter& writer, const InvalidateVerdicts& message) {
  writer.WriteCount(message.verdicts.size());
  for (const auto& item : message.verdicts) writer.Write(item);
}

bool Decode(ByteReader& reader, Drain* message) {
  return reader.Read(&message->deadline_ms);
}

void Encode(ByteWriter& writer, const Drain& message) {
  writer.Write(message.deadline_ms);
}

bool Decode(ByteReader& reader, OutboundAnswer* message) {
  return reader.Read(&message->question) &&
         reader.Read(&message->verdict) &&
         reader.Read(&message->code) &&
         reader.Read(&message->flow_label) &&
         ReadList(reader, 39, &message->choices,
                  [&](auto* item) { return Decode(reader, item); }) &&
         reader.Read(&message->baggage) &&
         reader.Read(&message->service_hostname) &&
         reader.Read(&message->kept_ms);
}

void Encode(ByteWriter& writer, const OutboundAnswer& message) {
  writer.Write(message.question);
  writer.Write(message.verdict);
  writer.Write(message.code);
  writer.Write(message.flow_label);
  writer.WriteCount(message.choices.size());
  for (const auto& item : message.choices) Encode(writer, item);
  writer.Write(message.baggage);
  writer.Write(message.service_hostname);
  writer.Write(message.kept_ms);
}

bool Decode(ByteReader& reader, InboundAnswer* message) {
  return reader.Read(&message->question) &&
         reader.Read(&message->verdict) &&
         reader.Read(&message->code) &&
         reader.Read(&message->consulted) &&
         reader.Read(&message->deliver_port) &&
         reader.Read(&message->flow_label) &&
         reader.Read(&message->baggage) &&
         reader.Read(&message->kept_ms);
}

void Encode(ByteWriter& writer, const InboundAnswer& message) {
  writer.Write(message.question);
  writer.Write(message.verdict);
  writer.Write(message.code);
  writer.Write(message.consulted);
  writer.Write(message.deliver_port);
  writer.Write(message.flow_label);
  writer.Write(message.baggage);
  writer.Write(message.kept_ms);
}

bool Decode(ByteReader& reader, DnsAnswer* message) {
  return reader.Read(&message->query) &&
         Decode(reader, &message->outcome);
}

void Encode(ByteWriter& writer, const DnsAnswer& message) {
  writer.Write(message.query);
  Encode(writer, message.outcome);
}

bool Decode(ByteReader& reader, OutboundQuestion* message) {
  return reader.Read(&message->question) &&
         reader.Read(&message->pod) &&
         reader.Read(&message->original_dst);
}

void Encode(ByteWriter& writer, const OutboundQuestion& message) {
  writer.Write(message.question);
  writer.Write(message.pod);
  writer.Write(message.original_dst);
}

bool Decode(ByteReader& reader, InboundQuestion* message) {
  return reader.Read(&message->question) &&
         reader.Read(&message->pod) &&
         ReadEnum(reader, 3, &message->security) &&
         reader.Read(&message->identity) &&
         reader.Read(&message->source) &&
         reader.Read(&message->destination) &&
         reader.Read(&message->authority) &&
         reader.Read(&message->service);
}

void Encode(ByteWriter& writer, const InboundQuestion& message) {
  writer.Write(message.question);
  writer.Write(message.pod);
  writer.Write(static_cast<uint8_t>(message.security));
  writer.Write(message.identity);
  writer.Write(message.source);
  writer.Write(message.destination);
  writer.Write(message.authority);
  writer.Write(message.service);
}

bool Decode(ByteReader& reader, DnsQuery* message) {
  return reader.Read(&message->query) &&
         reader.Read(&message->pod) &&
         ReadEnum(reader, 2, &message->transport) &&
         reader.Read(&message->source) &&
         reader.Read(&message->server) &&
         reader.Read(&message->message);
}

void Encode(ByteWriter& writer, const DnsQuery& message) {
  writer.Write(message.query);
  writer.Write(message.pod);
  writer.Write(static_cast<uint8_t>(message.transport));
  writer.Write(message.source);
  writer.Write(message.server);
  writer.Write(message.message);
}

bool Decode(ByteReader& reader, ConnectionClosed* message) {
  return reader.Read(&message->id) &&
         reader.Read(&message->opened) &&
         ReadEnum(reader, 2, &message->direction) &&
         reader.Read(&message->pod) &&
         ReadEnum(reader, 3, &message->hop) &&
         ReadEnum(reader, 3, &message->security) &&
         reader.Read(&message->code) &&
         reader.Read(&message->hbone_status) &&
         reader.Read(&message->source) &&
         reader.Read(&message->original_dst) &&
         reader.Read(&message->next_hop) &&
         reader.Read(&message->hbone_authority) &&
         reader.Read(&message->source_identity) &&
         reader.Read(&message->destination_identity) &&
         reader.Read(&message->verdict) &&
         reader.Read(&message->flow_label) &&
         reader.Read(&message->peer_label) &&
         reader.Read(&message->bytes_sent) &&
         reader.Read(&message->bytes_received) &&
         reader.Read(&message->duration_us) &&
         reader.Read(&message->started_ms) &&
         reader.Read(&message->traceparent) &&
         reader.Read(&message->detail);
}

void Encode(ByteWriter& writer, const ConnectionClosed& message) {
  writer.Write(message.id);
  writer.Write(message.opened);
  writer.Write(static_cast<uint8_t>(message.direction));
  writer.Write(message.pod);
  writer.Write(static_cast<uint8_t>(message.hop));
  writer.Write(static_cast<uint8_t>(message.security));
  writer.Write(message.code);
  writer.Write(message.hbone_status);
  writer.Write(message.source);
  writer.Write(message.original_dst);
  writer.Write(message.next_hop);
  writer.Write(message.hbone_authority);
  writer.Write(message.source_identity);
  writer.Write(message.destination_identity);
  writer.Write(message.verdict);
  writer.Write(message.flow_label);
  writer.Write(message.peer_label);
  writer.Write(message.bytes_sent);
  writer.Write(message.bytes_received);
  writer.Write(message.duration_us);
  writer.Write(message.started_ms);
  writer.Write(message.traceparent);
  writer.Write(message.detail);
}

bool Decode(ByteReader& reader, BatchDone* message) {
  return reader.Read(&message->batch) &&
         Decode(reader, &message->outcome);
}

void Encode(ByteWriter& writer, const BatchDone& message) {
  writer.Write(message.batch);
  Encode(writer, message.outcome);
}

bool Decode(ByteReader& reader, UncapturedConnections* message) {
  return reader.Read(&message->pod) &&
         reader.Read(&message->closed) &&
         ReadList(reader, 36, &message->connections,
                  [&](auto* item) { return Decode(reader, item); });
}

void Encode(ByteWriter& writer, const UncapturedConnections& message) {
  writer.Write(message.pod);
  writer.Write(message.closed);
  writer.WriteCount(message.connections.size());
  for (const auto& item : message.connections) Encode(writer, item);
}

bool Decode(ByteReader& reader, PodReleased* message) {
  return reader.Read(&message->pod);
}

void Encode(ByteWriter& writer, const PodReleased& message) {
  writer.Write(message.pod);
}

bool Decode(ByteReader& reader, PodFault* message) {
  return reader.Read(&message->pod) &&
         ReadEnum(reader, 5, &message->fault) &&
         reader.Read(&message->detail);
}

void Encode(ByteWriter& writer, const PodFault& message) {
  writer.Write(message.pod);
  writer.Write(static_cast<uint8_t>(message.fault));
  writer.Write(message.detail);
}

bool Decode(ByteReader& reader, Connection* message) {
  return reader.Read(&message->id) &&
         ReadEnum(reader, 2, &message->direction) &&
         reader.Read(&message->pod) &&
         ReadEnum(reader, 3, &message->hop) &&
         ReadEnum(reader, 3, &message->security) &&
         reader.Read(&message->source) &&
         reader.Read(&message->original_dst) &&
         reader.Read(&message->next_hop) &&
         reader.Read(&message->source_identity) &&
         reader.Read(&message->destination_identity) &&
         reader.Read(&message->verdict) &&
         reader.Read(&message->bytes_sent) &&
         reader.Read(&message->bytes_received) &&
         reader.Read(&message->started_ms);
}

void Encode(ByteWriter& writer, const Connection& message) {
  writer.Write(message.id);
  writer.Write(static_cast<uint8_t>(message.direction));
  writer.Write(message.pod);
  writer.Write(static_cast<uint8_t>(message.hop));
  writer.Write(static_cast<uint8_t>(message.security));
  writer.Write(message.source);
  writer.Write(message.original_dst);
  writer.Write(message.next_hop);
  writer.Write(message.source_identity);
  writer.Write(message.destination_identity);
  writer.Write(message.verdict);
  writer.Write(message.bytes_sent);
  writer.Write(message.bytes_received);
  writer.Write(message.started_ms);
}

bool Decode(ByteReader& reader, Tunnel* message) {
  return ReadEnum(reader, 2, &message->direction) &&
         reader.Read(&message->pod) &&
         reader.Read(&message->local) &&
         reader.Read(&message->peer) &&
         reader.Read(&message->remote) &&
         reader.Read(&message->streams) &&
         reader.Read(&message->streams_total) &&
         reader.Read(&message->established_ms) &&
         reader.Read(&message->not_after_ms) &&
         reader.Read(&message->draining);
}

void Encode(ByteWriter& writer, const Tunnel& message) {
  writer.Write(static_cast<uint8_t>(message.direction));
  writer.Write(message.pod);
  writer.Write(message.local);
  writer.Write(message.peer);
  writer.Write(message.remote);
  writer.Write(message.streams);
  writer.Write(message.streams_total);
  writer.Write(message.established_ms);
  writer.Write(message.not_after_ms);
  writer.Write(message.draining);
}

bool Decode(ByteReader& reader, Flow* message) {
  return ReadEnum(reader, 2, &message->direction) &&
         reader.Read(&message->flow_label) &&
         reader.Read(&message->peer_label) &&
         reader.Read(&message->code) &&
         reader.Read(&message->opened) &&
         reader.Read(&message->closed) &&
         reader.Read(&message->failed) &&
         reader.Read(&message->bytes_sent) &&
         reader.Read(&message->bytes_received);
}

void Encode(ByteWriter& writer, const Flow& message) {
  writer.Write(static_cast<uint8_t>(message.direction));
  writer.Write(message.flow_label);
  writer.Write(message.peer_label);
  writer.Write(message.code);
  writer.Write(message.opened);
  writer.Write(message.closed);
  writer.Write(message.failed);
  writer.Write(message.bytes_sent);
  writer.Write(message.bytes_received);
}

bool Decode(ByteReader& reader, DnsUpstream* message) {
  return reader.Read(&message->label) &&
         reader.Read(&message->failed) &&
         reader.Read(&message->duration_us) &&
         ReadList(reader, 8, &message->answered,
                  [&](auto* item) { return reader.Read(item); });
}

void Encode(ByteWriter& writer, const DnsUpstream& message) {
  writer.Write(message.label);
  writer.Write(message.failed);
  writer.Write(message.duration_us);
  writer.WriteCount(message.answered.size());
  for (const auto& item : message.answered) writer.Write(item);
}

bool Decode(ByteReader& reader, Counter* message) {
  return reader.Read(&message->name) &&
         reader.Read(&message->value);
}

void Encode(ByteWriter& writer, const Counter& message) {
  writer.Write(message.name);
  writer.Write(message.value);
}

bool Decode(ByteReader& reader, Command* message) {
  uint8_t kind = 0;
  if (!reader.Read(&kind)) return false;
  switch (kind) {
    case SetIdentity::kKind:
      return Decode(reader, &message->emplace<SetIdentity>());
    case RemoveIdentity::kKind:
      return Decode(reader, &message->emplace<RemoveIdentity>());
    case CapturePod::kKind:
      return Decode(reader, &message->emplace<CapturePod>());
    case ReleasePod::kKind:
      return Decode(reader, &message->emplace<ReleasePod>());
    case SetPeers::kKind:
      return Decode(reader, &message->emplace<SetPeers>());
    case InvalidateVerdicts::kKind:
      return Decode(reader, &message->emplace<InvalidateVerdicts>());
    case Drain::kKind:
      return Decode(reader, &message->emplace<Drain>());
    default:
      return false;
  }
}

bool DecodeBatch(std::span<const uint8_t> bytes, std::vector<Command>* messages) {
  ByteReader reader(bytes);
  return ReadList(reader, 1, messages, [&](auto* item) { return Decode(reader, item); }) &&
         reader.AtEnd();
}

bool Decode(ByteReader& reader, Answer* message) {
  uint8_t kind = 0;
  if (!reader.Read(&kind)) return false;
  switch (kind) {
    case OutboundAnswer::kKind:
      return Decode(reader, &message->emplace<OutboundAnswer>());
    case InboundAnswer::kKind:
      return Decode(reader, &message->emplace<InboundAnswer>());
    case DnsAnswer::kKind:
      return Decode(reader, &message->emplace<DnsAnswer>());
    default:
      return false;
  }
}

bool DecodeBatch(std::span<const uint8_t> bytes, std::vector<Answer>* messages) {
  ByteReader reader(bytes);
  return ReadList(reader, 1, messages, [&](auto* item) { return Decode(reader, item); }) &&
         reader.AtEnd();
}

bool Decode(ByteReader& reader, Event* message) {
  uint8_t kind = 0;
  if (!reader.Read(&kind)) return false;
  switch (kind) {
    case OutboundQuestion::kKind:
      return Decode(reader, &message->emplace<OutboundQuestion>());
    case InboundQuestion::kKind:
      return Decode(reader, &message->emplace<InboundQuestion>());
    case DnsQuery::kKind:
      return Decode(reader, &message->emplace<DnsQuery>());
    case ConnectionClosed::kKind:
      return Decode(reader, &message->emplace<ConnectionClosed>());
    case BatchDone::kKind:
      return Decode(reader, &message->emplace<BatchDone>());
    case UncapturedConnections::kKind:
      return Decode(reader, &message->emplace<UncapturedConnections>());
    case PodReleased::kKind:
      return Decode(reader, &message->emplace<PodReleased>());
    case PodFault::kKind:
      return Decode(reader, &message->emplace<PodFault>());
    default:
      return false;
  }
}

bool DecodeBatch(std::span<const uint8_t> bytes, std::vector<Event>* messages) {
  ByteReader reader(bytes);
  return ReadList(reader, 1, messages, [&](auto* item) { return Decode(reader, item); }) &&
         reader.AtEnd();
}

bool Decode(ByteReader& reader, Snapshot* message) {
  uint8_t kind = 0;
  if (!reader.Read(&kind)) return false;
  switch (kind) {
    case Connection::kKind:
      return Decode(reader, &message->emplace<Connection>());
    case Tunnel::kKind:
      return Decode(reader, &message->emplace<Tunnel>());
    case Flow::kKind:
      return Decode(reader, &message->emplace<Flow>());
    case DnsUpstream::kKind:
      return Decode(reader, &message->emplace<DnsUpstream>());
    case Counter::kKind:
      return Decode(reader, &message->emplace<Counter>());
    default:
      return false;
  }
}

bool DecodeBatch(std::span<const uint8_t> bytes, std::vector<Snapshot>* messages) {
  ByteReader reader(bytes);
  return ReadList(reader, 1, messages, [&](auto* item) { return Decode(reader, item); }) &&
         reader.AtEnd();
}

}  // namespace groundwire::msg
