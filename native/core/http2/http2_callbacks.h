// SPDX-License-Identifier: Apache-2.0
// What nghttp2 tells a session, and how DATA frames are filled; `user` is always the session.
#pragma once
#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>

#include "http2/http2_stream.h"

namespace groundwire {

struct Http2Options;
class Http2Session;

class Http2Callbacks {
 public:
  /// For every session of the process. nullptr: no memory.
  static nghttp2_session_callbacks* Make();
  /// The caller deletes them. nullptr: no memory.
  static nghttp2_option* MakeOptions(const Http2Options& options);
  /// Where nghttp2 gets the stream's DATA.
  static nghttp2_data_provider ProviderOf(Http2Stream* stream);
  /// nullptr: it is gone.
  static Http2Stream* Find(Http2Session* session, int32_t id);

 private:
  static bool IsRequest(const nghttp2_frame* frame);
  static int OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* user);
  static int OnHeader(nghttp2_session* http2, const nghttp2_frame* frame, nghttp2_rcbuf* name,
                      nghttp2_rcbuf* value, uint8_t, void* user);
  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user);
  static void OnHeaders(Http2Session* self, const nghttp2_frame* frame);
  static void OnEndOfStream(Http2Session* self, const nghttp2_frame* frame);
  static void OnReset(Http2Session* self, int32_t id);
  static int OnFrameSent(nghttp2_session* http2, const nghttp2_frame* frame, void* user);
  static int OnInvalidFrame(nghttp2_session*, const nghttp2_frame* frame, int library_error,
                            void* user);
  static int OnDataChunk(nghttp2_session* http2, uint8_t, int32_t id, const uint8_t* data,
                         size_t size, void* user);
  static int OnStreamClose(nghttp2_session*, int32_t id, uint32_t h2_error, void* user);
  static ssize_t DataFrameLength(nghttp2_session*, uint8_t, int32_t, int32_t connection_window,
                                 int32_t stream_window, uint32_t peer_max, void*);
  static ssize_t ReadData(nghttp2_session*, int32_t, uint8_t*, size_t size, uint32_t* flags,
                          nghttp2_data_source* source, void* user);
  static int SendData(nghttp2_session*, nghttp2_frame*, const uint8_t* header, size_t size,
                      nghttp2_data_source*, void* user);
};

}  // namespace groundwire
