// SPDX-License-Identifier: Apache-2.0
// One request and its response: who writes and reads it here, how far it is.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/error_code.gen.h"
#include "http2/header_list.h"

namespace groundwire {

/// Whether a session that ended so was ended by this engine, because a proof of identity is missing
/// or on a command: its streams end now, and nothing is tried again. What the peer or the network
/// broke off has delivered what it has delivered, and another session may serve.
inline bool IsEndedHere(ErrorCode lost) {
  return lost == ErrorCode::kCertificateExpired || lost == ErrorCode::kIdentityRemoved ||
         lost == ErrorCode::kDrained;
}

/// The user of a stream, in the order of the calls; lists and bytes are valid during the call. After
/// OnStreamClosed, or after the user called Reset, the Http2Stream is gone.
class Http2StreamHandler {
 public:
  /// Up to `size` bytes for the peer, straight into the frame. 0 and not `*end`: nothing now, Resume
  /// later. With `*end` what was given to SetTrailers follows.
  virtual size_t ReadForStream(uint8_t* buffer, size_t size, bool* end) = 0;
  /// Client only: a 1xx; any number of them before the response.
  virtual void OnInterimResponse(uint16_t /*status*/, const HeaderList&) {}
  /// Client only. Http2Stream::peer_ended: there is nothing behind it.
  virtual void OnResponse(uint16_t status, const HeaderList& headers) = 0;
  /// The user gives the window back with Consume once the application took the bytes.
  virtual void OnStreamData(const uint8_t* data, size_t size) = 0;
  /// OnStreamEnd follows.
  virtual void OnStreamTrailers(const HeaderList&) {}
  /// The peer has no more bytes (END_STREAM).
  virtual void OnStreamEnd() = 0;
  /// `h2_error` is the peer's RST_STREAM code or 0; `lost` says why the whole session ended, or
  /// kNone.
  virtual void OnStreamClosed(uint32_t h2_error, ErrorCode lost) = 0;

 protected:
  ~Http2StreamHandler() = default;
};

struct Http2Stream {
  int32_t id = 0;
  Http2StreamHandler* handler = nullptr;
  /// nghttp2 put the stream's DATA aside until Resume.
  bool deferred = false;
  /// Its final response has come, or has been given.
  bool answered = false;
  bool peer_ended = false;
  bool refused = false;
  /// A byte has passed, either way.
  bool carried = false;
  uint64_t sent_bytes = 0;
  uint64_t opened_us = 0;
  /// Of what the peer sent: what the handler has not consumed; what it has since the window grew.
  uint32_t unread = 0;
  uint32_t read = 0;
  /// What follows the last DATA; names and values.
  std::vector<std::pair<std::string, std::string>> trailers;
};

}  // namespace groundwire
