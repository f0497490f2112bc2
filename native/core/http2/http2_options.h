// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/counters.h"
#include "http2/frame_budget.h"

namespace groundwire {

/// What a session counts, by the names of the protocol that runs over it.
struct Http2Counters {
  /// Sessions ended since the peer asked for more work than it may.
  Counter flooded;
  /// Sessions ended since the peer broke HTTP/2.
  Counter protocol_error;
  Counter ping_timeout;
  /// Server: streams beyond what it serves at once.
  Counter streams_refused;
  /// Header lists beyond the bound.
  Counter headers_refused;
  /// Server: requests that HTTP/2 does not allow.
  Counter requests_malformed;
  /// Turns of reading that ended by their frames or their time, with bytes left for the next.
  Counter turns_cut;
  /// Of `flooded`, by what the peer asked for too often.
  std::array<Counter, kFloodCount> floods;
};

struct Http2Options {
  Http2Counters counters;
  uint32_t stream_window_bytes = 1 << 20;
  uint32_t connection_window_bytes = 16 << 20;
  uint32_t streams_served_max = 200;
  uint32_t streams_used_max = 100;
  /// SETTINGS_MAX_HEADER_LIST_SIZE of a server and of a client; a list beyond it resets its stream.
  uint32_t request_list_bytes_max = 64 * 1024;
  uint32_t response_list_bytes_max = 16 * 1024;
  uint32_t header_fields_max = 2048;
  /// Server: takes CONNECT with :protocol (RFC 8441).
  bool extended_connect = false;
  uint32_t ping_interval_ms = 10000;
  uint32_t ping_timeout_ms = 20000;
};

}  // namespace groundwire
