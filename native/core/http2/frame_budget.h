// SPDX-License-Identifier: Apache-2.0
// How much a peer may ask for in frames that carry nothing, and how many frames a piece of its bytes
// has.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace groundwire {

/// Work that costs the peer nothing and brings nobody a byte.
enum class Flood : uint8_t {
  /// Streams that it resets soon after it opened them, with nothing carried ("rapid reset").
  kResets,
  /// Streams that it has us reset, by breaking the rules on them ("made you reset").
  kForcedResets,
  kEmptyData,
  kWindowUpdates,
  kPings,
  kSettings,
  /// PRIORITY, GOAWAY again and again, types that are not known.
  kOtherFrames,
  kCount,
};
inline constexpr size_t kFloodCount = static_cast<size_t>(Flood::kCount);

/// What a peer has spent since the last renewal. DATA that we sent earns it answers: an honest peer
/// gives windows back, and measures the way with PINGs, as often as bytes come.
class FrameBudget {
 public:
  /// Whether that was the first too much.
  bool Spend(Flood kind);
  /// One more DATA frame has been sent, with so many bytes.
  void Earn(size_t bytes) {
    earned_ = std::min(earned_ + kEarnedPerFrame + static_cast<uint32_t>(bytes / kBytesPerAnswer),
                       kEarnedMax);
  }
  void Renew() { spent_ = {}; }

 private:
  // A window for the stream and one for the connection, and a PING, however little came; and
  // windows in pieces, as small as any implementation gives them back.
  static constexpr uint32_t kEarnedPerFrame = 3;
  static constexpr size_t kBytesPerAnswer = 1024;
  static constexpr uint32_t kEarnedMax = 1 << 16;

  std::array<uint32_t, kFloodCount> spent_{};
  uint32_t earned_ = 0;
};

/// Finds the frames in a stream of bytes (RFC 9113 4.1), so that a turn can end after some of them
/// and each is counted, also those of which nghttp2 says nothing. What is wrong with them is
/// nghttp2's to say.
class FrameScanner {
 public:
  struct Header {
    size_t length;
    uint8_t type;
    uint8_t flags;
  };

  /// `skip`: bytes before the first frame, which is a client's preface.
  explicit FrameScanner(size_t skip) : left_(skip) {}

  /// How many of the bytes that come next go up to the end of the `frames`-th frame whose header ends
  /// in them; each is told to `on_frame`.
  template <typename OnFrame>
  size_t Advance(const uint8_t* data, size_t size, uint32_t frames, OnFrame on_frame) {
    size_t at = 0;
    while (at < size) {
      const size_t payload = std::min(left_, size - at);
      at += payload;
      left_ -= payload;
      if (left_ > 0 || frames == 0) break;
      const size_t part = std::min(header_.size() - header_size_, size - at);
      std::copy_n(data + at, part, header_.data() + header_size_);
      at += part;
      header_size_ += part;
      if (header_size_ < header_.size()) break;
      header_size_ = 0;
      left_ = size_t{header_[0]} << 16 | size_t{header_[1]} << 8 | header_[2];
      on_frame(Header{left_, header_[3], header_[4]});
      --frames;
    }
    return at;
  }

 private:
  size_t left_;  // of the present frame's payload
  std::array<uint8_t, 9> header_{};
  size_t header_size_ = 0;
};

}  // namespace groundwire
