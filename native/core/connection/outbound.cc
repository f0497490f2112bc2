// SPDX-License-Identifier: Apache-2.0
#include "connection/outbound.h"

#include <cstdint>
#include <numeric>
#include <utility>

#include "base/detail_text.h"
#include "base/random.h"
#include "hbone/hbone_request.h"
#include "io/socket_options.h"
#include "relay/socket_end.h"
#include "relay/stream_end.h"

namespace groundwire {
namespace {

const msg::AnswerChoice* PickByWeight(const std::vector<msg::AnswerChoice>& choices) {
  if (choices.size() == 1) return &choices.front();
  const uint64_t total =
      std::accumulate(choices.begin(), choices.end(), uint64_t{0},
                      [](uint64_t sum, const msg::AnswerChoice& c) { return sum + c.weight; });
  if (total == 0) return choices.empty() ? nullptr : &choices[RandomU64() % choices.size()];
  uint64_t ticket = RandomU64() % total;
  for (const msg::AnswerChoice& choice : choices) {
    if (ticket < choice.weight) return &choice;
    ticket -= choice.weight;
  }
  return &choices.back();
}

/// The pod's own listener, dialled directly, would accept from itself for ever.
bool IsIllegal(const Pod& pod, const SocketAddress& destination) {
  if (destination.ip.is_loopback() || destination.ip.is_unspecified()) return true;
  return pod.HasAddress(destination.ip) && pod.IsListenerPort(destination.port);
}

/// Why a connection is refused without asking for a verdict; counted.
ErrorCode RefusalOf(const ConnectionContext& context, const Pod& pod, const SocketAddress& source,
                    const SocketAddress& original_dst) {
  if (const ErrorCode full = context.books->Admit(pod); full != ErrorCode::kNone) return full;
  if (!pod.HasAddress(source.ip)) {
    // A pod may bind an address that is not its own (IP_TRANSPARENT). Verdicts go by the address,
    // so it must be true.
    context.thread.counters->Add(Counter::kForgedSource);
    return ErrorCode::kForgedSource;
  }
  if (IsIllegal(pod, original_dst)) {
    context.thread.counters->Add(Counter::kIllegalDestination);
    return ErrorCode::kIllegalDestination;
  }
  return ErrorCode::kNone;
}

}  // namespace

void AcceptOutbound(const ConnectionContext& context, const std::shared_ptr<const Pod>& pod,
                    UniqueFd fd, const SocketAddress& source) {
  const SocketAddress original_dst = LocalAddress(fd.get());
  const ErrorCode refusal = RefusalOf(context, *pod, source, original_dst);
  auto connection =
      std::make_unique<OutboundConnection>(context, pod, std::move(fd), source, original_dst);
  context.books->Adopt(std::move(connection))->Start(refusal);
}

OutboundConnection::OutboundConnection(const ConnectionContext& context,
                                       std::shared_ptr<const Pod> pod, UniqueFd app,
                                       const SocketAddress& source,
                                       const SocketAddress& original_dst)
    : Connection(context, msg::Direction::kOutbound, std::move(pod), source),
      app_(std::move(app)),
      verdict_(&context.verdicts->of<OutboundKind>(), this),
      destination_verdict_(&context.verdicts->of<InboundKind>(), this) {
  facts_.original_dst = original_dst;
  facts_.source_identity = pod_->identity;
  facts_.security = msg::Security::kNone;
  facts_.hop = msg::HopKind::kPassthrough;
}

OutboundConnection::~OutboundConnection() { context_.thread.loop->Cancel(&response_deadline_); }

void OutboundConnection::Start(ErrorCode refusal) {
  if (refusal != ErrorCode::kNone) return Refuse(refusal);
  verdict_.Ask();
}

void OutboundConnection::Describe(msg::OutboundQuestion* question) const {
  question->pod = pod_->id;
  question->original_dst = facts_.original_dst;
}

void OutboundConnection::OnVerdict(const OutboundVerdict& verdict) {
  const auto code = static_cast<ErrorCode>(verdict->code);
  // A refusal names the verdict that refused; of a handoff that may be the destination's, see below.
  facts_.verdict = verdict->verdict;
  TakeLabel(verdict->flow_label);
  if (code != ErrorCode::kNone) return Refuse(code);
  chosen_from_ = verdict;
  TakeChoice();
}

void OutboundConnection::OnLateVerdict(const OutboundVerdict& verdict) {
  facts_.verdict = verdict->verdict;
  TakeLateVerdict(verdict->verdict, static_cast<ErrorCode>(verdict->code));
}

void OutboundConnection::TakeChoice() {
  choice_ = PickByWeight(chosen_from_->choices);
  if (choice_ == nullptr) return Refuse(ErrorCode::kNoHealthyUpstream);
  facts_.hop = choice_->kind;
  facts_.next_hop = choice_->next_hop;
  TakeLabel(choice_->flow_label);
  CountOpened();
  switch (choice_->kind) {
    case msg::HopKind::kHbone:
      facts_.security = msg::Security::kMutualTls;
      facts_.hbone_authority = choice_->hbone_authority;
      facts_.traceparent = MakeTraceparent();
      return RequestTunnel();
    case msg::HopKind::kHandoff:
      facts_.security = msg::Security::kHandoff;
      return AskDestination();
    case msg::HopKind::kPassthrough:
      return Passthrough();
  }
}

void OutboundConnection::RequestTunnel() {
  state_ = State::kTunnel;
  context_.pool->Acquire(pod_, {pod_->id, choice_->next_hop, choice_->upstream_identities}, this);
}

void OutboundConnection::OnTunnel(Http2Session* session, const std::string& peer, bool reused) {
  session_ = session;
  reused_tunnel_ = reused;
  facts_.destination_identity = peer;
  const ConnectHeaders headers(choice_->hbone_authority, chosen_from_->baggage, facts_.source,
                               chosen_from_->service_hostname, facts_.traceparent);
  stream_ = session->Request(headers.list(), true, this);
  if (stream_ == nullptr) return RequestTunnel();
  state_ = State::kResponse;
  context_.thread.counters->Add(Counter::kTunnelStreams);
  response_deadline_ = context_.thread.loop->After(context_.thread.options->connect_timeout_ms,
                                                   [this] { OnNoResponse(false); });
}

/// A CONNECT that never left waits as long as for a connect. One that did has twice that: the peer
/// has its own deadline for its application, and this one is for a peer that is stuck.
void OutboundConnection::OnNoResponse(bool last) {
  const bool held_back = session_->IsHeldBack(stream_) && !session_->blocked();
  if (!held_back && !last) {
    response_deadline_ = context_.thread.loop->After(context_.thread.options->connect_timeout_ms,
                                                     [this] { OnNoResponse(true); });
    return;
  }
  if (held_back) {
    context_.thread.counters->Add(Counter::kTunnelStreamsHeldBack);
    facts_.detail = kNoStreamsDetail;
  }
  Refuse(ErrorCode::kHboneResponseTimeout);
}

void OutboundConnection::OnNoTunnel(ErrorCode code, const std::string& detail) {
  facts_.detail = DetailText(detail);
  Refuse(code);
}

void OutboundConnection::OnResponse(uint16_t status, const HeaderList&) {
  context_.thread.loop->Cancel(&response_deadline_);
  facts_.hbone_status = status;
  if (status != 200) return Refuse(ErrorCode::kHboneRefused);
  StartRelay(
      std::make_unique<StreamEnd>(session_, std::exchange(stream_, nullptr), AccountOf(*pod_)));
}

void OutboundConnection::OnStreamClosed(uint32_t h2_error, ErrorCode lost) {
  stream_ = nullptr;
  if (finished()) return;
  context_.thread.loop->Cancel(&response_deadline_);
  // Nothing was sent on the stream yet, so trying once more repeats nothing. A refused stream was
  // not looked at (RFC 9113 8.7), and a reused tunnel may have been stale; a fresh tunnel's
  // failure, and any other reset, are the peer's answer. What was ended here stays ended.
  const bool refused = lost == ErrorCode::kNone && h2_error == NGHTTP2_REFUSED_STREAM;
  const bool stale = lost != ErrorCode::kNone && reused_tunnel_ && !IsEndedHere(lost);
  if ((refused || stale) && !retried_) {
    retried_ = true;
    context_.thread.counters->Add(Counter::kTunnelStreamsRetried);
    return RequestTunnel();
  }
  // A server that refuses our certificate says so after the handshake, when the stream is open
  // already.
  facts_.detail = lost != ErrorCode::kNone ? DetailText(session_->close_detail())
                                           : std::string("the peer reset the stream: ") +
                                                 nghttp2_http2_strerror(h2_error);
  Refuse(lost != ErrorCode::kNone ? lost : ErrorCode::kHboneRefused);
}

void OutboundConnection::AskDestination() {
  destination_ = context_.books->FindPod(choice_->destination_pod);
  if (!destination_) return Refuse(ErrorCode::kUnknownDestinationWorkload);
  context_.books->Join(destination_->id);
  facts_.destination_identity = destination_->identity;
  state_ = State::kInboundVerdict;
  destination_verdict_.Ask();
}

void OutboundConnection::Describe(msg::InboundQuestion* question) const {
  question->pod = destination_->id;
  question->security = msg::Security::kHandoff;
  question->identity = pod_->identity;
  question->source = facts_.source;
  question->destination = choice_->next_hop;
  question->service = chosen_from_->service_hostname;
}

void OutboundConnection::OnVerdict(const InboundVerdict& verdict) {
  const auto code = static_cast<ErrorCode>(verdict->code);
  CountAtDestination(
      verdict->flow_label != 0 ? verdict->flow_label : context_.flows->LabelOf(*destination_),
      context_.flows->PeerLabelOf(facts_.source.ip), code);
  if (code != ErrorCode::kNone) {
    facts_.verdict = verdict->verdict;
    return Refuse(code);
  }
  state_ = State::kDial;
  Deliver(*destination_,
          {choice_->next_hop.ip, DeliverPortOf(*verdict, choice_->next_hop.port, "")});
}

void OutboundConnection::OnLateVerdict(const InboundVerdict& verdict) {
  TakeLateVerdict(verdict->verdict, static_cast<ErrorCode>(verdict->code));
}

void OutboundConnection::Passthrough() {
  state_ = State::kDial;
  dial_ = std::make_unique<Dial>(context_.thread.loop, this);
  dial_->Start(context_.sockets->OpenPodSocket(pod_->netns_fd, choice_->next_hop.family()),
               choice_->next_hop, Dial::Reach::kAnywhere,
               context_.thread.options->connect_timeout_ms);
}

void OutboundConnection::OnDialled(ErrorCode code, UniqueFd fd) {
  dial_.reset();
  if (code != ErrorCode::kNone) return Refuse(code);
  KeptAccount* const account = AccountOf(destination_ ? *destination_ : *pod_);
  StartRelay(std::make_unique<SocketEnd>(context_.thread, account, std::move(fd)));
}

void OutboundConnection::StartRelay(std::unique_ptr<RelayEnd> destination) {
  state_ = State::kRelay;
  MarkOpened();
  relay_ = std::make_unique<Relay>(context_.thread.loop, &bytes_, this);
  relay_->Start(std::make_unique<SocketEnd>(context_.thread, AccountOf(*pod_), std::move(app_)),
                std::move(destination));
}

void OutboundConnection::ReleaseVerdicts() {
  verdict_.Release();
  destination_verdict_.Release();
}

void OutboundConnection::Abort() {
  context_.thread.loop->Cancel(&response_deadline_);
  if (state_ == State::kTunnel) context_.pool->Cancel(this);
  if (stream_ != nullptr) session_->Reset(std::exchange(stream_, nullptr), NGHTTP2_CANCEL);
  if (dial_) dial_->Cancel();
  if (relay_) relay_->Abort();
  // The application's connect succeeded when it was captured; a reset is the nearest thing to a
  // refusal left.
  CloseWithReset(&app_);
}

}  // namespace groundwire
