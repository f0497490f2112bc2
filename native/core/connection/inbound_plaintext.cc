// SPDX-License-Identifier: Apache-2.0
#include "connection/inbound_plaintext.h"

#include <utility>

#include "io/socket_options.h"
#include "relay/socket_end.h"

namespace groundwire {

void AcceptInboundPlaintext(const ConnectionContext& context, const std::shared_ptr<const Pod>& pod,
                            UniqueFd fd, const SocketAddress& source, ErrorCode refusal) {
  const SocketAddress original_dst = LocalAddress(fd.get());
  if (refusal == ErrorCode::kNone) refusal = context.books->Admit(*pod);
  auto connection = std::make_unique<InboundPlaintextConnection>(context, pod, std::move(fd),
                                                                 source, original_dst);
  context.books->Adopt(std::move(connection))->Start(refusal);
}

InboundPlaintextConnection::InboundPlaintextConnection(const ConnectionContext& context,
                                                       std::shared_ptr<const Pod> pod,
                                                       UniqueFd downstream,
                                                       const SocketAddress& source,
                                                       const SocketAddress& original_dst)
    : InboundConnection(context, std::move(pod), source), downstream_(std::move(downstream)) {
  facts_.original_dst = original_dst;
  facts_.hop = msg::HopKind::kPassthrough;
  facts_.security = msg::Security::kNone;
}

void InboundPlaintextConnection::Start(ErrorCode refusal) {
  if (refusal != ErrorCode::kNone) return Refuse(refusal);
  Decide();
}

void InboundPlaintextConnection::OnDialled(ErrorCode code, UniqueFd fd) {
  dial_.reset();
  if (code != ErrorCode::kNone) return Refuse(code);
  MarkOpened();
  relay_ = std::make_unique<Relay>(context_.thread.loop, &bytes_, this);
  relay_->Start(
      std::make_unique<SocketEnd>(context_.thread, AccountOf(*pod_), std::move(downstream_)),
      std::make_unique<SocketEnd>(context_.thread, AccountOf(*pod_), std::move(fd)));
}

void InboundPlaintextConnection::Abort() {
  if (dial_) dial_->Cancel();
  if (relay_) relay_->Abort();
  CloseWithReset(&downstream_);
}

}  // namespace groundwire
