// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>

#include "http2/http2_session.h"
#include "io/kept_bytes.h"
#include "relay/relay_end.h"

namespace groundwire {

/// An open stream of an HTTP/2 session as an end of a relay; a reset of it is RST_STREAM. What comes
/// waits nowhere here: the peer's window is given back as the other end gets rid of it. What is to be
/// sent waits here only where the other end cannot be asked for it, being a stream too.
class StreamEnd final : public RelayEnd, public Http2StreamHandler {
 public:
  /// `account` pays for what the peer leaves waiting, and outlives it.
  StreamEnd(Http2Session* session, Http2Stream* stream, KeptAccount* account)
      : session_(session), stream_(stream), kept_(account) {}

  bool Start(Relay* relay) override;
  Result Receive(uint8_t*, size_t*) override { return Result::kBlocked; }
  bool readable() const override { return false; }
  bool drained() const override { return stream_ == nullptr || peer_ended_; }
  void Consume(size_t size) override;
  bool Ask() override;
  Result Send(const uint8_t* data, size_t size, size_t* sent) override;
  size_t kept() const override { return kept_.size(); }
  void FinishSending() override;
  bool finished_sending() const override { return end_sent_ && stream_ == nullptr; }
  /// What was sent is in frames, and these stay in order to the very end of the tunnel.
  bool AllTaken() const override { return true; }
  bool broken() const override { return broken_; }
  bool open() const override { return stream_ != nullptr; }
  void Close() override {}
  void Reset() override;

  size_t ReadForStream(uint8_t* buffer, size_t size, bool* end) override;
  void OnResponse(uint16_t, const HeaderList&) override {}
  void OnStreamData(const uint8_t* data, size_t size) override;
  void OnStreamEnd() override;
  void OnStreamClosed(uint32_t h2_error, ErrorCode lost) override;

 private:
  Http2Session* const session_;
  Http2Stream* stream_;
  Relay* relay_ = nullptr;
  KeptBytes kept_;
  bool peer_ended_ = false;
  bool end_wanted_ = false;
  bool end_sent_ = false;
  bool broken_ = false;
};

}  // namespace groundwire
