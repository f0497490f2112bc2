// SPDX-License-Identifier: Apache-2.0
// Generated from src/engine/port.schema.ts by scripts/gen.ts; edit that and run `npm run gen`.
// clang-format off
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/error_code.gen.h"

namespace groundwire::msg {

/// Both sides carry it: an addon built from another schema is refused.
inline constexpr std::string_view kSchemaHash = "f7cb54b8a125bb60";

enum class HopKind : uint8_t { kHbone = 0, kHandoff = 1, kPassthrough = 2 };
std::string_view NameOf(HopKind value);

enum class Direction : uint8_t { kOutbound = 0, kInbound = 1 };
std::string_view NameOf(Direction value);

enum class ExistingConnections : uint8_t { kKeep = 0, kClose = 1 };
std::string_view NameOf(ExistingConnections value);

enum class ConsultedField : uint8_t { kIdentity = 0, kSourceAddress = 1, kDestinationPort = 2, kAuthority = 3, kService = 4 };
std::string_view NameOf(ConsultedField value);
constexpr uint8_t BitOf(ConsultedField value) {
  return static_cast<uint8_t>(1u << static_cast<uint8_t>(value));
}

enum class DnsTransport : uint8_t { kUdp = 0, kTcp = 1 };
std::string_view NameOf(DnsTransport value);

enum class PodFaultKind : uint8_t { kRelease = 0, kListOld = 1, kCloseOld = 2, kRepaired = 3, kRepair = 4 };
std::string_view NameOf(PodFaultKind value);

enum class Security : uint8_t { kMutualTls = 0, kHandoff = 1, kNone = 2 };
std::string_view NameOf(Security value);

struct AnswerChoice {
  HopKind kind{};
  uint32_t weight = 0;
  SocketAddress next_hop{};
  std::string hbone_authority{};
  std::vector<std::string> upstream_identities{};
  uint32_t destination_pod = 0;
  uint32_t flow_label = 0;
  bool operator==(const AnswerChoice&) const = default;
};

struct PeerLabel {
  IpAddress address{};
  uint32_t label = 0;
  bool operator==(const PeerLabel&) const = default;
};

struct TcpPair {
  SocketAddress local{};
  SocketAddress remote{};
  bool operator==(const TcpPair&) const = default;
};

struct UpstreamResolver {
  IpAddress address{};
  bool from_node = false;
  bool operator==(const UpstreamResolver&) const = default;
};

struct KernelFeature {
  std::string name{};
  bool present = false;
  bool required = false;
  std::string detail{};
  std::string remedy{};
  bool operator==(const KernelFeature&) const = default;
};

struct BatchApplied {
  static constexpr uint8_t kKind = 0;
  bool operator==(const BatchApplied&) const = default;
};

struct BatchFailed {
  static constexpr uint8_t kKind = 1;
  uint32_t index = 0;
  std::string op{};
  int32_t errno_value = 0;
  std::string detail{};
  bool operator==(const BatchFailed&) const = default;
};

struct DnsReply {
  static constexpr uint8_t kKind = 0;
  std::vector<uint8_t> message{};
  bool operator==(const DnsReply&) const = default;
};

struct DnsForward {
  static constexpr uint8_t kKind = 1;
  uint32_t label = 0;
  bool operator==(const DnsForward&) const = default;
};

using BatchOutcome = std::variant<BatchApplied, BatchFailed>;

using DnsOutcome = std::variant<DnsReply, DnsForward>;

struct EngineOptions {
  std::string pin_directory{};
  std::string pods_cgroup{};
  std::string agent_cgroup{};
  std::optional<std::string> probe_cgroup{};
  std::string bpf_directory{};
  std::string trust_domain{};
  uint32_t worker_threads = 0;
  std::vector<UpstreamResolver> upstream_resolvers{};
  uint32_t connect_timeout_ms = 0;
  uint32_t tls_timeout_ms = 0;
  uint32_t verdict_timeout_ms = 0;
  uint32_t verdict_queue_max = 0;
  uint32_t connections_max = 0;
  uint32_t streams_per_tunnel_max = 0;
  uint32_t tunnels_accepted_max = 0;
  uint32_t tunnel_idle_ms = 0;
  uint32_t stream_window_bytes = 0;
  uint32_t connection_window_bytes = 0;
  uint32_t kept_memory_bytes = 0;
  uint32_t ping_interval_ms = 0;
  uint32_t ping_timeout_ms = 0;
  bool operator==(const EngineOptions&) const = default;
};

struct ProbeOptions {
  std::string pods_cgroup{};
  std::string agent_cgroup{};
  std::string bpf_directory{};
  bool operator==(const ProbeOptions&) const = default;
};

struct ProbeReport {
  std::vector<KernelFeature> features{};
  bool operator==(const ProbeReport&) const = default;
};

struct SetIdentity {
  static constexpr uint8_t kKind = 0;
  std::string identity{};
  std::vector<uint8_t> certificate_chain_pem{};
  std::vector<uint8_t> private_key_pem{};
  std::vector<uint8_t> trust_roots_pem{};
  uint64_t not_after_ms = 0;
  bool operator==(const SetIdentity&) const = default;
};

struct RemoveIdentity {
  static constexpr uint8_t kKind = 1;
  std::string identity{};
  bool operator==(const RemoveIdentity&) const = default;
};

struct CapturePod {
  static constexpr uint8_t kKind = 2;
  uint32_t pod = 0;
  std::string uid{};
  std::string netns_path{};
  std::vector<IpAddress> addresses{};
  std::string identity{};
  ExistingConnections existing{};
  bool dns = false;
  bool operator==(const CapturePod&) const = default;
};

struct ReleasePod {
  static constexpr uint8_t kKind = 3;
  uint32_t pod = 0;
  uint32_t drain_deadline_ms = 0;
  bool operator==(const ReleasePod&) const = default;
};

struct SetPeers {
  static constexpr uint8_t kKind = 4;
  std::vector<PeerLabel> peers{};
  bool operator==(const SetPeers&) const = default;
};

struct InvalidateVerdicts {
  static constexpr uint8_t kKind = 5;
  std::vector<uint64_t> verdicts{};
  bool operator==(const InvalidateVerdicts&) const = default;
};

struct Drain {
  static constexpr uint8_t kKind = 6;
  uint32_t deadline_ms = 0;
  bool operator==(const Drain&) const = default;
};

struct OutboundAnswer {
  static constexpr uint8_t kKind = 0;
  uint64_t question = 0;
  uint64_t verdict = 0;
  uint16_t code = 0;
  uint32_t flow_label = 0;
  std::vector<AnswerChoice> choices{};
  std::string baggage{};
  std::string service_hostname{};
  uint32_t kept_ms = 0;
  bool operator==(const OutboundAnswer&) const = default;
};

struct InboundAnswer {
  static constexpr uint8_t kKind = 1;
  uint64_t question = 0;
  uint64_t verdict = 0;
  uint16_t code = 0;
  uint8_t consulted = 0;
  uint16_t deliver_port = 0;
  uint32_t flow_label = 0;
  std::string baggage{};
  uint32_t kept_ms = 0;
  bool operator==(const InboundAnswer&) const = default;
};

struct DnsAnswer {
  static constexpr uint8_t kKind = 2;
  uint64_t query = 0;
  DnsOutcome outcome{};
  bool operator==(const DnsAnswer&) const = default;
};

struct OutboundQuestion {
  static constexpr uint8_t kKind = 0;
  uint64_t question = 0;
  uint32_t pod = 0;
  SocketAddress original_dst{};
  bool operator==(const OutboundQuestion&) const = default;
};

struct InboundQuestion {
  static constexpr uint8_t kKind = 1;
  uint64_t question = 0;
  uint32_t pod = 0;
  Security security{};
  std::string identity{};
  SocketAddress source{};
  SocketAddress destination{};
  std::string authority{};
  std::string service{};
  bool operator==(const InboundQuestion&) const = default;
};

struct DnsQuery {
  static constexpr uint8_t kKind = 2;
  uint64_t query = 0;
  uint32_t pod = 0;
  DnsTransport transport{};
  SocketAddress source{};
  SocketAddress server{};
  std::vector<uint8_t> message{};
  bool operator==(const DnsQuery&) const = default;
};

struct ConnectionClosed {
  static constexpr uint8_t kKind = 3;
  uint64_t id = 0;
  bool opened = false;
  Direction direction{};
  uint32_t pod = 0;
  HopKind hop{};
  Security security{};
  uint16_t code = 0;
  uint16_t hbone_status = 0;
  SocketAddress source{};
  SocketAddress original_dst{};
  SocketAddress next_hop{};
  std::string hbone_authority{};
  std::string source_identity{};
  std::string destination_identity{};
  uint64_t verdict = 0;
  uint32_t flow_label = 0;
  uint32_t peer_label = 0;
  uint64_t bytes_sent = 0;
  uint64_t bytes_received = 0;
  uint64_t duration_us = 0;
  uint64_t started_ms = 0;
  std::string traceparent{};
  std::string detail{};
  bool operator==(const ConnectionClosed&) const = default;
};

struct BatchDone {
  static constexpr uint8_t kKind = 4;
  uint64_t batch = 0;
  BatchOutcome outcome{};
  bool operator==(const BatchDone&) const = default;
};

struct UncapturedConnections {
  static constexpr uint8_t kKind = 5;
  uint32_t pod = 0;
  bool closed = false;
  std::vector<TcpPair> connections{};
  bool operator==(const UncapturedConnections&) const = default;
};

struct PodReleased {
  static constexpr uint8_t kKind = 6;
  uint32_t pod = 0;
  bool operator==(const PodReleased&) const = default;
};

struct PodFault {
  static constexpr uint8_t kKind = 7;
  uint32_t pod = 0;
  PodFaultKind fault{};
  std::string detail{};
  bool operator==(const PodFault&) const = default;
};

struct Connection {
  static constexpr uint8_t kKind = 0;
  uint64_t id = 0;
  Direction direction{};
  uint32_t pod = 0;
  HopKind hop{};
  Security security{};
  SocketAddress source{};
  SocketAddress original_dst{};
  SocketAddress next_hop{};
  std::string source_identity{};
  std::string destination_identity{};
  uint64_t verdict = 0;
  uint64_t bytes_sent = 0;
  uint64_t bytes_received = 0;
  uint64_t started_ms = 0;
  bool operator==(const Connection&) const = default;
};

struct Tunnel {
  static constexpr uint8_t kKind = 1;
  Direction direction{};
  uint32_t pod = 0;
  std::string local{};
  std::string peer{};
  SocketAddress remote{};
  uint32_t streams = 0;
  uint64_t streams_total = 0;
  uint64_t established_ms = 0;
  uint64_t not_after_ms = 0;
  bool draining = false;
  bool operator==(const Tunnel&) const = default;
};

struct Flow {
  static constexpr uint8_t kKind = 2;
  Direction direction{};
  uint32_t flow_label = 0;
  uint32_t peer_label = 0;
  uint16_t code = 0;
  uint64_t opened = 0;
  uint64_t closed = 0;
  uint64_t failed = 0;
  uint64_t bytes_sent = 0;
  uint64_t bytes_received = 0;
  bool operator==(const Flow&) const = default;
};

struct DnsUpstream {
  static constexpr uint8_t kKind = 3;
  uint32_t label = 0;
  uint64_t failed = 0;
  uint64_t duration_us = 0;
  std::vector<uint64_t> answered{};
  bool operator==(const DnsUpstream&) const = default;
};

struct Counter {
  static constexpr uint8_t kKind = 4;
  std::string name{};
  uint64_t value = 0;
  bool operator==(const Counter&) const = default;
};

using Command = std::variant<SetIdentity, RemoveIdentity, CapturePod, ReleasePod, SetPeers, InvalidateVerdicts, Drain>;

using Answer = std::variant<OutboundAnswer, InboundAnswer, DnsAnswer>;

using Event = std::variant<OutboundQuestion, InboundQuestion, DnsQuery, ConnectionClosed, BatchDone, UncapturedConnections, PodReleased, PodFault>;

using Snapshot = std::variant<Connection, Tunnel, Flow, DnsUpstream, Counter>;

/// Bits of the mask of Engine::ReadSnapshot.
constexpr uint8_t kPartConnections = 1;
constexpr uint8_t kPartTunnels = 2;
constexpr uint8_t kPartFlows = 4;
constexpr uint8_t kPartDnsUpstreams = 8;
constexpr uint8_t kPartCounters = 16;

// Decode returns false on anything that is not exactly a message (short input, a value out of range, an impossible
// count); what it filled in by then is of no use. DecodeBatch also wants every byte used.
bool Decode(ByteReader& reader, AnswerChoice* message);
void Encode(ByteWriter& writer, const AnswerChoice& message);
bool Decode(ByteReader& reader, PeerLabel* message);
void Encode(ByteWriter& writer, const PeerLabel& message);
bool Decode(ByteReader& reader, TcpPair* message);
void Encode(ByteWriter& writer, const TcpPair& message);
bool Decode(ByteReader& reader, UpstreamResolver* message);
void Encode(ByteWriter& writer, const UpstreamResolver& message);
bool Decode(ByteReader& reader, KernelFeature* message);
void Encode(ByteWriter& writer, const KernelFeature& message);
bool Decode(ByteReader& reader, BatchApplied* message);
void Encode(ByteWriter& writer, const BatchApplied& message);
bool Decode(ByteReader& reader, BatchFailed* message);
void Encode(ByteWriter& writer, const BatchFailed& message);
bool Decode(ByteReader& reader, BatchOutcome* message);
void Encode(ByteWriter& writer, const BatchOutcome& message);
bool Decode(ByteReader& reader, DnsReply* message);
void Encode(ByteWriter& writer, const DnsReply& message);
bool Decode(ByteReader& reader, DnsForward* message);
void Encode(ByteWriter& writer, const DnsForward& message);
bool Decode(ByteReader& reader, DnsOutcome* message);
void Encode(ByteWriter& writer, const DnsOutcome& message);
bool Decode(ByteReader& reader, EngineOptions* message);
void Encode(ByteWriter& writer, const EngineOptions& message);
bool Decode(ByteReader& reader, ProbeOptions* message);
void Encode(ByteWriter& writer, const ProbeOptions& message);
bool Decode(ByteReader& reader, ProbeReport* message);
void Encode(ByteWriter& writer, const ProbeReport& message);
bool Decode(ByteReader& reader, SetIdentity* message);
void Encode(ByteWriter& writer, const SetIdentity& message);
bool Decode(ByteReader& reader, RemoveIdentity* message);
void Encode(ByteWriter& writer, const RemoveIdentity& message);
bool Decode(ByteReader& reader, CapturePod* message);
void Encode(ByteWriter& writer, const CapturePod& message);
bool Decode(ByteReader& reader, ReleasePod* message);
void Encode(ByteWriter& writer, const ReleasePod& message);
bool Decode(ByteReader& reader, SetPeers* message);
void Encode(ByteWriter& writer, const SetPeers& message);
bool Decode(ByteReader& reader, InvalidateVerdicts* message);
void Encode(ByteWriter& writer, const InvalidateVerdicts& message);
bool Decode(ByteReader& reader, Drain* message);
void Encode(ByteWriter& writer, const Drain& message);
bool Decode(ByteReader& reader, OutboundAnswer* message);
void Encode(ByteWriter& writer, const OutboundAnswer& message);
bool Decode(ByteReader& reader, InboundAnswer* message);
void Encode(ByteWriter& writer, const InboundAnswer& message);
bool Decode(ByteReader& reader, DnsAnswer* message);
void Encode(ByteWriter& writer, const DnsAnswer& message);
bool Decode(ByteReader& reader, OutboundQuestion* message);
void Encode(ByteWriter& writer, const OutboundQuestion& message);
bool Decode(ByteReader& reader, InboundQuestion* message);
void Encode(ByteWriter& writer, const InboundQuestion& message);
bool Decode(ByteReader& reader, DnsQuery* message);
void Encode(ByteWriter& writer, const DnsQuery& message);
bool Decode(ByteReader& reader, ConnectionClosed* message);
void Encode(ByteWriter& writer, const ConnectionClosed& message);
bool Decode(ByteReader& reader, BatchDone* message);
void Encode(ByteWriter& writer, const BatchDone& message);
bool Decode(ByteReader& reader, UncapturedConnections* message);
void Encode(ByteWriter& writer, const UncapturedConnections& message);
bool Decode(ByteReader& reader, PodReleased* message);
void Encode(ByteWriter& writer, const PodReleased& message);
bool Decode(ByteReader& reader, PodFault* message);
void Encode(ByteWriter& writer, const PodFault& message);
bool Decode(ByteReader& reader, Connection* message);
void Encode(ByteWriter& writer, const Connection& message);
bool Decode(ByteReader& reader, Tunnel* message);
void Encode(ByteWriter& writer, const Tunnel& message);
bool Decode(ByteReader& reader, Flow* message);
void Encode(ByteWriter& writer, const Flow& message);
bool Decode(ByteReader& reader, DnsUpstream* message);
void Encode(ByteWriter& writer, const DnsUpstream& message);
bool Decode(ByteReader& reader, Counter* message);
void Encode(ByteWriter& writer, const Counter& message);
bool Decode(ByteReader& reader, Command* message);
bool DecodeBatch(std::span<const uint8_t> bytes, std::vector<Command>* messages);
bool Decode(ByteReader& reader, Answer* message);
bool DecodeBatch(std::span<const uint8_t> bytes, std::vector<Answer>* messages);
bool Decode(ByteReader& reader, Event* message);
bool DecodeBatch(std::span<const uint8_t> bytes, std::vector<Event>* messages);
bool Decode(ByteReader& reader, Snapshot* message);
bool DecodeBatch(std::span<const uint8_t> bytes, std::vector<Snapshot>* messages);

/// Of a value that crosses on its own: every byte must be used.
template <typename T>
bool DecodeWhole(std::span<const uint8_t> bytes, T* value) {
  ByteReader reader(bytes);
  return Decode(reader, value) && reader.AtEnd();
}

/// One message of a union, as BatchWriter::Add writes it.
template <typename T>
std::vector<uint8_t> Pack(const T& message) {
  std::vector<uint8_t> packed;
  packed.reserve(sizeof message);
  ByteWriter writer(&packed);
  writer.Write(T::kKind);
  Encode(writer, message);
  return packed;
}

/// Packs messages of one union behind their count, which is right after each Add.
class BatchWriter {
 public:
  explicit BatchWriter(std::vector<uint8_t>* out) : start_(out->size()), out_(out), writer_(out) {
    writer_.Write(uint32_t{0});
  }
  template <typename T>
  void Add(const T& message) {
    writer_.Write(T::kKind);
    Encode(writer_, message);
    writer_.PatchCount(start_, ++count_);
  }
  /// One of Pack's.
  void AddPacked(const std::vector<uint8_t>& message) {
    out_->insert(out_->end(), message.begin(), message.end());
    writer_.PatchCount(start_, ++count_);
  }
  /// All of another batch of the same union.
  void AddAll(const BatchWriter& other) {
    const auto from = other.out_->begin() + static_cast<std::ptrdiff_t>(other.start_ + sizeof count_);
    out_->insert(out_->end(), from, other.out_->end());
    count_ += other.count_;
    writer_.PatchCount(start_, count_);
  }
  uint32_t count() const { return count_; }
  size_t size() const { return out_->size() - start_; }

 private:
  size_t start_;
  std::vector<uint8_t>* out_;
  ByteWriter writer_;
  uint32_t count_ = 0;
};

}  // namespace groundwire::msg
