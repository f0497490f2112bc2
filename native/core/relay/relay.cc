// SPDX-License-Identifier: Apache-2.0
#include "relay/relay.h"

#include <utility>

namespace groundwire {

void Relay::Start(std::unique_ptr<RelayEnd> source, std::unique_ptr<RelayEnd> destination) {
  over_ = false;
  source_ = std::move(source);
  destination_ = std::move(destination);
  if (!source_->Start(this) || !destination_->Start(this)) Finish(ErrorCode::kOutOfFiles);
}

void Relay::Turn() {
  if (over_) return;
  const bool there = Carry(*source_, destination_.get());
  const bool back = Carry(*destination_, source_.get());
  Settle();
  if (over_ || (there && back) || turn_scheduled_) return;
  turn_scheduled_ = true;
  loop_->Defer([this] {
    turn_scheduled_ = false;
    Turn();
  });
}

bool Relay::Carry(const RelayEnd& from, RelayEnd* to) {
  return over_ || (!from.readable() && to->kept() == 0) || to->Ask();
}

void Relay::Take(RelayEnd* from, const uint8_t* data, size_t size) {
  if (over_) return;
  Count(from, size);
  size_t sent = 0;
  const RelayEnd::Result result = OtherOf(from)->Send(data, size, &sent);
  from->Consume(sent);
  if (result == RelayEnd::Result::kReset) CarryReset();
  if (result == RelayEnd::Result::kFull) Cut(ErrorCode::kLimitMemory, "");
}

void Relay::TakeEnd(const RelayEnd* from) {
  if (!over_) OtherOf(from)->FinishSending();
}

size_t Relay::Fill(const RelayEnd* to, uint8_t* buffer, size_t size, bool* end) {
  if (over_) return 0;
  RelayEnd* const from = OtherOf(to);
  const RelayEnd::Result result = from->Receive(buffer, &size);
  if (result == RelayEnd::Result::kOk) {
    Count(from, size);
    return size;
  }
  *end = result == RelayEnd::Result::kEnd;
  // All that came before is in frames by now, ahead of the RST_STREAM.
  if (result == RelayEnd::Result::kReset) CarryReset();
  return 0;
}

void Relay::Count(const RelayEnd* from, size_t size) {
  if (from == source_.get()) {
    bytes_->sent += size;
    request_timer_.Request(&loop_->look_on(), loop_->now_us(), size);
  } else {
    bytes_->received += size;
    request_timer_.Answer(&loop_->look_on(), loop_->now_us());
  }
}

void Relay::NoteLoss(ErrorCode code, const std::string& detail) {
  if (!over_) loss_ = std::make_unique<Loss>(Loss{code, detail});
}

void Relay::Settle() {
  if (over_) return;
  if (source_->finished_sending() && destination_->finished_sending())
    return Finish(ErrorCode::kNone);
  if (source_->broken() || destination_->broken()) CarryReset();
}

/// One end is gone: the other is reset too, once it has what came before.
void Relay::CarryReset() {
  const RelayEnd& gone = source_->broken() ? *source_ : *destination_;
  RelayEnd& left = source_->broken() ? *destination_ : *source_;
  const bool carried = !left.open() || (gone.drained() && left.kept() == 0 && left.AllTaken());
  if (!carried && !reset_wait_.over()) {
    // What the gone end had said goes on as far as the other's windows let it.
    if (!gone.drained()) (void)left.Ask();
    if (!over_) reset_wait_.LookAgain([this] { Turn(); });
    return;
  }
  if (!carried) loop_->counters()->Add(Counter::kResetsCutShort);
  Finish(loss_ ? loss_->code : ErrorCode::kPeerReset);
}

void Relay::Cut(ErrorCode code, const std::string& detail) {
  NoteLoss(code, detail);
  Finish(code);
}

void Relay::Abort() {
  over_ = true;
  reset_wait_.Stop();
  if (source_) source_->Reset();
  if (destination_) destination_->Reset();
}

void Relay::Finish(ErrorCode code) {
  if (over_) return;
  if (code == ErrorCode::kNone) {
    over_ = true;
    reset_wait_.Stop();
    source_->Close();
    destination_->Close();
  } else {
    Abort();
  }
  owner_->OnRelayEnd(code, loss_ ? loss_->detail : std::string());
}

}  // namespace groundwire
