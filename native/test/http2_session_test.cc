// SPDX-License-Identifier: Apache-2.0
// One HTTP/2 session against bytes made by hand: what it says, what it takes, what it refuses.
#include "http2/http2_session.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "check.h"
#include "hbone/hbone_request.h"
#include "hbone/tunnel_context.h"
#include "support/http2_bytes.h"
#include "support/options.h"
#include "support/plain_stream.h"

using namespace groundwire;

namespace {

constexpr std::array<HeaderView, 1> kOk = {{{":status", "200"}}};
constexpr std::array<HeaderView, 2> kConnect = {{{":method", "CONNECT"}, {":authority", "a:1"}}};

/// A session over one end of a socket pair; the test holds the other.
struct Harness final : Http2SessionOwner, Http2StreamHandler {
  explicit Harness(Http2Session::Role role,
                   Http2Options session_options = MakeTunnelOptions(TestOptions()))
      : options(session_options) {
    int ends[2] = {};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0 || !loop.Open().ok())
      std::abort();
    session_fd = ends[0];
    peer.Reset(ends[1]);
    session = std::make_unique<Http2Session>(
        role, std::make_unique<PlainStream>(UniqueFd(ends[0]), &loop), options, &loop, &scratch,
        &counters, this);
    if (!session->Start().ok()) std::abort();
    Turn();
  }
  void Turn(int turns = 5) {
    for (int i = 0; i < turns; ++i) loop.RunTurn(1);
  }
  void Say(const std::string& bytes) {
    for (size_t sent = 0; sent < bytes.size();) {
      const ssize_t count =
          send(peer.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (count > 0) sent += static_cast<size_t>(count);
      Turn(2);
      if (count < 0 && errno != EAGAIN) return;
    }
    Turn();
  }
  std::vector<http2::Seen> Hear() {
    Turn();
    char buffer[65536];
    for (ssize_t count = 0; (count = recv(peer.get(), buffer, sizeof buffer, 0)) > 0;) {
      heard.append(buffer, static_cast<size_t>(count));
      Turn();
    }
    return http2::Split(heard);
  }
  const http2::Seen* Find(uint8_t type) {
    frames = Hear();
    for (const http2::Seen& frame : frames) {
      if (frame.type == type) return &frame;
    }
    return nullptr;
  }
  void TakeRequest(const HeaderList& headers) {
    const HboneRequest seen(headers);
    request = {std::string(seen.method), std::string(seen.authority),
               std::string(seen.traceparent)};
  }
  static std::string Hello() { return http2::kPreface + http2::Frame(http2::kSettings, 0, 0, ""); }

  void OnEstablished(Http2Session*) override { established = true; }
  void OnRequest(Http2Session*, Http2Stream* s, HeaderList headers) override {
    stream = s;
    TakeRequest(headers);
    ++requests;
    session->SetHandler(s, this);
    if (answer_at_once) session->Respond(s, kOk, true, this);
  }
  void OnCapacity(Http2Session*) override {}
  void OnMalformedRequest(Http2Session*, const HeaderList& headers, const char* why) override {
    TakeRequest(headers);
    detail = why;
    ++malformed;
  }
  void OnSessionClosed(Http2Session*, ErrorCode c, const std::string& why) override {
    code = c;
    detail = why;
    closed = true;
  }
  size_t ReadForStream(uint8_t* buffer, size_t size, bool* end) override {
    const size_t count = std::min(size, to_send.size());
    std::copy_n(to_send.begin(), count, buffer);
    to_send.erase(0, count);
    *end = count == 0 && end_wanted;
    if (close_on_read) session->Close(ErrorCode::kPolicyLateDenied, "denied while sending");
    return count;
  }
  void OnResponse(uint16_t s, const HeaderList&) override { status = s; }
  void OnStreamData(const uint8_t* data, size_t size) override {
    received.append(reinterpret_cast<const char*>(data), size);
    for (const uint64_t end_us = MonotonicUs() + work_us; MonotonicUs() < end_us;) {
    }
    if (close_on_data) session->Close(ErrorCode::kPolicyLateDenied, "denied while receiving");
    if (consume) session->Consume(stream, size);
  }
  void OnStreamEnd() override { ended = true; }
  void OnStreamClosed(uint32_t h2, ErrorCode l) override {
    stream_closed = true;
    h2_error = h2;
    lost = l;
  }

  Http2Options options;
  Counters counters;
  EventLoop loop{&counters};
  ThreadScratch scratch;
  UniqueFd peer;
  int session_fd = -1;
  std::unique_ptr<Http2Session> session;
  Http2Stream* stream = nullptr;
  struct {
    std::string method;
    std::string authority;
    std::string traceparent;
  } request;
  std::string detail;
  int requests = 0;
  int malformed = 0;
  bool answer_at_once = true;
  bool consume = true;
  bool established = false;
  bool closed = false;
  bool ended = false;
  bool stream_closed = false;
  bool end_wanted = false;
  bool close_on_read = false;
  bool close_on_data = false;
  uint64_t work_us = 0;  // of the user, for each piece of data
  uint32_t h2_error = 0;
  uint16_t status = 0;
  ErrorCode code = ErrorCode::kNone;
  ErrorCode lost = ErrorCode::kNone;
  std::string received;
  std::string to_send;
  std::string heard;
  std::vector<http2::Seen> frames;
};

std::map<int, uint32_t> Settings(const std::string& payload) {
  std::map<int, uint32_t> settings;
  const auto at = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(payload[i])); };
  for (size_t i = 0; i + 6 <= payload.size(); i += 6) {
    settings[static_cast<int>(at(i) << 8 | at(i + 1))] =
        at(i + 2) << 24 | at(i + 3) << 16 | at(i + 4) << 8 | at(i + 5);
  }
  return settings;
}

constexpr auto kServer = Http2Session::Role::kServer;
constexpr auto kClient = Http2Session::Role::kClient;

}  // namespace

TEST("session: a server says its settings and opens its connection window") {
  Http2Options options = MakeTunnelOptions(TestOptions());
  options.stream_window_bytes = 123456;
  options.connection_window_bytes = 1 << 20;
  Harness server(kServer, options);
  server.Say(Harness::Hello());
  const http2::Seen* frame = server.Find(http2::kSettings);
  REQUIRE(frame != nullptr);
  const auto settings = Settings(frame->payload);
  CHECK_EQ(settings.at(3), 200u);      // MAX_CONCURRENT_STREAMS
  CHECK_EQ(settings.at(4), 123456u);   // INITIAL_WINDOW_SIZE
  CHECK_EQ(settings.at(5), 1u << 20);  // MAX_FRAME_SIZE
  CHECK_EQ(settings.at(6), 65536u);    // MAX_HEADER_LIST_SIZE
  CHECK(server.Find(http2::kWindowUpdate) != nullptr);
}

TEST("session: a client refuses pushes and sends the CONNECT's headers in order") {
  Harness client(kClient);
  client.stream = client.session->Request(kConnect, true, &client);
  REQUIRE(client.stream != nullptr);
  const http2::Seen* settings = client.Find(http2::kSettings);
  REQUIRE(settings != nullptr);
  CHECK_EQ(Settings(settings->payload).at(2), 0u);
  CHECK(client.heard.starts_with(http2::kPreface));
  REQUIRE(client.Find(http2::kHeaders) != nullptr);
  CHECK(client.Find(http2::kData) == nullptr);  // nothing before the answer
}

TEST("session: a CONNECT carries bytes and ends both ways") {
  Harness server(kServer);
  server.Say(Harness::Hello() +
             http2::Connect(1, "10.0.0.1:80", http2::Header("traceparent", "00-x")));
  CHECK_EQ(server.request.method, "CONNECT");
  CHECK_EQ(server.request.authority, "10.0.0.1:80");
  CHECK_EQ(server.request.traceparent, "00-x");
  server.Say(http2::Frame(http2::kData, http2::kEndStream, 1, "hello"));
  CHECK_EQ(server.received, "hello");
  CHECK(server.ended);
  server.to_send = "world";
  server.end_wanted = true;
  server.session->Resume(server.stream);
  std::string data;
  bool end = false;
  for (const http2::Seen& frame : server.Hear()) {
    if (frame.type != http2::kData) continue;
    data += frame.payload;
    end = end || (frame.flags & http2::kEndStream) != 0;
  }
  CHECK_EQ(data, "world");
  CHECK(end);
  CHECK(server.stream_closed);
  CHECK_EQ(server.h2_error, 0u);
}

TEST("session: a refusal is a complete response, then NO_ERROR") {
  Harness server(kServer);
  server.answer_at_once = false;
  server.Say(Harness::Hello() + http2::Connect(1, "10.0.0.1:80"));
  server.session->Refuse(server.stream, 401);
  const http2::Seen* headers = server.Find(http2::kHeaders);
  REQUIRE(headers != nullptr);
  CHECK((headers->flags & http2::kEndStream) != 0);
  const http2::Seen* reset = server.Find(http2::kRstStream);
  REQUIRE(reset != nullptr);
  CHECK_EQ(reset->payload, http2::U32(0));
}

TEST("session: thirty thousand frames of one byte are carried") {
  Harness server(kServer);
  server.Say(Harness::Hello() + http2::Connect(1, "10.0.0.1:80"));
  std::string frames;
  for (int i = 0; i < 30000; ++i) frames += http2::Frame(http2::kData, 0, 1, "x");
  server.Say(frames);
  CHECK_EQ(server.received.size(), 30000u);
  CHECK(!server.closed);
}

TEST("session: a frame of one mebibyte is taken") {
  Http2Options options = MakeTunnelOptions(TestOptions());
  options.stream_window_bytes = 2 << 20;
  Harness server(kServer, options);
  // Our settings hold from their acknowledgement on.
  server.Say(Harness::Hello() + http2::Frame(http2::kSettings, http2::kAck, 0, "") +
             http2::Connect(1, "10.0.0.1:80"));
  server.Say(http2::Frame(http2::kData, 0, 1, std::string(1 << 20, 'x')));
  CHECK_EQ(server.received.size(), size_t{1} << 20);
}

TEST("session: a stream whose bytes are not consumed holds nobody else's window") {
  Http2Options options = MakeTunnelOptions(TestOptions());
  options.stream_window_bytes = 65535;
  options.connection_window_bytes = 65535;
  Harness server(kServer, options);
  server.consume = false;
  server.Say(Harness::Hello() + http2::Connect(1, "10.0.0.1:80"));
  server.Say(http2::Frame(http2::kData, 0, 1, std::string(16000, 'x')));
  server.Say(http2::Frame(http2::kData, 0, 1, std::string(16384, 'x')));
  server.Say(http2::Frame(http2::kData, 0, 1, std::string(16384, 'x')));
  bool connection = false;
  bool stream = false;
  for (const http2::Seen& frame : server.Hear()) {
    if (frame.type != http2::kWindowUpdate) continue;
    (frame.stream == 0 ? connection : stream) = true;
  }
  CHECK(connection);
  CHECK(!stream);
}

TEST("session: more than the stream's window is a protocol error of the peer") {
  Http2Options options = MakeTunnelOptions(TestOptions());
  options.stream_window_bytes = 1000;
  Harness server(kServer, options);
  server.consume = false;
  server.Say(Harness::Hello() + http2::Frame(http2::kSettings, http2::kAck, 0, "") +
             http2::Connect(1, "10.0.0.1:80"));
  server.Say(http2::Frame(http2::kData, 0, 1, std::string(1001, 'x')));
  CHECK(server.closed || server.stream_closed);
}

TEST("session: garbage ends it with a GOAWAY") {
  Harness server(kServer);
  server.Say("GET / HTTP/1.1\r\n\r\n and so on, which is no preface at all");
  CHECK(server.closed);
  CHECK_EQ(NameOf(server.code), "HBONE_PROTOCOL");
  CHECK(server.Find(http2::kGoaway) != nullptr);
  CHECK_EQ(server.counters.Read(Counter::kTunnelsProtocolError), 1u);
}

TEST("session: a peer that breaks HTTP/2 is told so and counted") {
  Harness server(kServer);
  server.Say(Harness::Hello() + http2::Connect(1, "10.0.0.1:80"));
  server.Say(http2::Frame(http2::kData, 0, 0, "data of no stream"));
  CHECK(server.closed);
  CHECK_EQ(NameOf(server.code), "HBONE_PROTOCOL");
  CHECK_EQ(server.detail, "DATA: stream_id == 0");
  CHECK_EQ(NameOf(server.lost), "HBONE_PROTOCOL");
  CHECK_EQ(server.session->streams_lost(), 1u);
  CHECK(server.Find(http2::kGoaway) != nullptr);
  CHECK_EQ(server.counters.Read(Counter::kTunnelsProtocolError), 1u);
}

TEST("session: a CONNECT without :authority, or an empty one, is told, and harms nobody else") {
  Harness server(kServer);
  const std::string traceparent = http2::Header("traceparent", "t");
  server.Say(Harness::Hello() +
             http2::Frame(http2::kHeaders, http2::kEndHeaders, 1,
                          http2::Header(":method", "CONNECT") + traceparent) +
             http2::Frame(http2::kHeaders, http2::kEndHeaders, 3,
                          http2::Header(":method", "CONNECT") + http2::Header(":authority", "") +
                              traceparent) +
             http2::Frame(http2::kHeaders, http2::kEndHeaders, 5,
                          http2::Header(":method", "GET") + http2::Header(":authority", "web:80")));
  CHECK_EQ(server.requests, 0);
  CHECK_EQ(server.malformed, 3);
  CHECK_EQ(server.request.authority, "web:80");
  CHECK_EQ(server.counters.Read(Counter::kHboneBadRequests), 3u);
  CHECK(server.Find(http2::kRstStream) != nullptr);
  server.Say(http2::Connect(7, "10.0.0.1:80"));
  CHECK_EQ(server.requests, 1);
  CHECK_EQ(server.counters.Read(Counter::kTunnelsProtocolError), 0u);
}

TEST("session: a close that meets a lost connection is a close") {
  Harness server(kServer);
  server.Say(Harness::Hello() + http2::Connect(1, "10.0.0.1:80"));
  (void)server.Hear();
  REQUIRE(shutdown(server.peer.get(), SHUT_RD) ==
          0);  // sending fails from here on, and nothing says so before
  server.to_send = "x";
  server.close_on_read = true;
  server.session->Resume(server.stream);
  server.Turn();
  CHECK(server.closed);
  CHECK_EQ(NameOf(server.code), "POLICY_LATE_DENIED");
}

TEST("session: too many streams reset before they were answered end it") {
  Harness server(kServer);
  server.answer_at_once = false;
  // All at once: what is counted is forgotten with each interval of PING.
  std::string flood = Harness::Hello();
  for (uint32_t i = 0; i < 1100; ++i) {
    flood += http2::Connect(2 * i + 1, "10.0.0.1:80") +
             http2::Frame(http2::kRstStream, 0, 2 * i + 1, http2::U32(8));
  }
  server.Say(flood);
  CHECK(server.closed);
  CHECK_EQ(server.counters.Read(Counter::kTunnelsFlooded), 1u);
}

TEST("session: a turn of frames of one byte ends soon, whatever they cost, and loses nothing") {
  Harness server(kServer);
  server.Say(Harness::Hello() + http2::Connect(1, "10.0.0.1:80"));
  std::string frames;
  for (int i = 0; i < 3000; ++i) frames += http2::Frame(http2::kData, 0, 1, std::string(1, 'x'));
  REQUIRE(send(server.peer.get(), frames.data(), frames.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(frames.size()));
  server.work_us = 50;  // 150 ms for all of them
  size_t most = 0;
  for (int i = 0; i < 1000 && server.received.size() < 3000; ++i) {
    const size_t before = server.received.size();
    server.loop.RunTurn(0);
    most = std::max(most, server.received.size() - before);
  }
  CHECK_EQ(server.received.size(), 3000u);
  // Of the socket's edge and of the work that it put off: a millisecond each, looked at after 32.
  CHECK(most <= 64);
  CHECK(server.counters.Read(Counter::kTunnelTurnsCut) >= 10);
}

TEST("session: frames cut anywhere are the frames they are") {
  FrameScanner scanner(3);
  std::string seen;
  std::string bytes = "abc";
  for (size_t size : {0u, 1u, 5u, 300u})
    bytes += http2::Frame(http2::kData, 0, 1, std::string(size, 'x'));
  const auto advance = [&](size_t from, size_t size, uint32_t frames) {
    return scanner.Advance(
        reinterpret_cast<const uint8_t*>(bytes.data()) + from, size, frames,
        [&](const FrameScanner::Header& h) { seen += std::to_string(h.length) + " "; });
  };
  CHECK_EQ(advance(0, 2, 1), 2u);
  CHECK_EQ(advance(2, 4, 1), 4u);                 // in the midst of the first header
  CHECK_EQ(advance(6, bytes.size() - 6, 1), 6u);  // the first one's end
  CHECK_EQ(advance(12, bytes.size() - 12, 2), 10u + 14u);
  CHECK_EQ(advance(36, 100, 1), 100u);
  CHECK_EQ(advance(136, bytes.size() - 136, 1), bytes.size() - 136);
  CHECK_EQ(seen, "0 1 5 300 ");
}

TEST("session: a close that a frame brings about does not wait for the frames behind it") {
  Harness server(kServer);
  server.Say(Harness::Hello() + http2::Connect(1, "10.0.0.1:80"));
  server.close_on_data = true;
  std::string frames;
  for (int i = 0; i < 3000; ++i) frames += http2::Frame(http2::kData, 0, 1, "x");
  server.Say(frames);
  CHECK(server.closed);
  CHECK(server.received.size() <= 32);
}

TEST("session: frames that carry nothing end it, each kind by its own counter") {
  const struct {
    std::string frame;
    Counter counter;
    const char* detail;
  } kinds[] = {
      {http2::Frame(http2::kData, 0, 1, ""), Counter::kTunnelsFloodedEmptyData,
       "too many empty DATA frames"},
      {http2::Frame(http2::kData, 8, 1, std::string("\3") + std::string(3, '\0')),
       Counter::kTunnelsFloodedEmptyData, "too many empty DATA frames"},
      {http2::Frame(http2::kWindowUpdate, 0, 0, http2::U32(1)),
       Counter::kTunnelsFloodedWindowUpdates, "too many window updates"},
      {http2::Frame(http2::kPing, http2::kAck, 0, "12345678"), Counter::kTunnelsFloodedPings,
       "too many PINGs"},
      {http2::Frame(http2::kSettings, 0, 0, ""), Counter::kTunnelsFloodedSettings,
       "too many SETTINGS"},
      {http2::Frame(0x55, 0, 0, "x"), Counter::kTunnelsFloodedOtherFrames,
       "too many frames that carry nothing"},
      {http2::Frame(2, 0, 7, http2::U32(5) + "w"), Counter::kTunnelsFloodedOtherFrames,
       "too many frames that carry nothing"},
  };
  for (const auto& [frame, counter, detail] : kinds) {
    Harness server(kServer);
    server.Say(Harness::Hello() + http2::Connect(1, "10.0.0.1:80"));
    std::string flood;
    for (int i = 0; i < 2100; ++i) flood += frame;
    server.Say(flood);
    CHECK(server.closed);
    CHECK_EQ(NameOf(server.code), "HBONE_PROTOCOL");
    CHECK_EQ(server.detail, detail);
    CHECK_EQ(server.counters.Read(counter), 1u);
    CHECK_EQ(server.counters.Read(Counter::kTunnelsFlooded), 1u);
  }
}

TEST("session: windows and PINGs as often as DATA comes are no flood") {
  Harness server(kServer);
  server.Say(Harness::Hello() + http2::Connect(1, "10.0.0.1:80"));
  for (int round = 0; round < 1000; ++round) {
    server.to_send = "x";
    server.session->Resume(server.stream);
    server.Turn(1);
    const std::string one = http2::U32(1);
    const std::string answer = http2::Frame(http2::kWindowUpdate, 0, 0, one) +
                               http2::Frame(http2::kWindowUpdate, 0, 1, one) +
                               http2::Frame(http2::kPing, 0, 0, "12345678");
    REQUIRE(send(server.peer.get(), answer.data(), answer.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(answer.size()));
    if (round % 50 == 0) server.Hear();
  }
  server.Turn();
  CHECK(!server.closed);
}

TEST("session: streams that are reset soon are a flood also when they were answered") {
  Harness server(kServer);
  std::string flood = Harness::Hello();
  for (uint32_t i = 0; i < 1100; ++i) {
    flood += http2::Connect(2 * i + 1, "10.0.0.1:80");
    flood += http2::Frame(http2::kRstStream, 0, 2 * i + 1, http2::U32(8));
    if (i % 20 != 0) continue;
    server.Say(std::exchange(flood, ""));
    server.Hear();
  }
  CHECK(server.requests > 900);
  CHECK(server.closed);
  CHECK_EQ(server.counters.Read(Counter::kTunnelsFloodedResets), 1u);
}

TEST("session: streams that carried something may be reset as soon as they like") {
  Harness server(kServer);
  server.Say(Harness::Hello());
  for (uint32_t i = 0; i < 1100; ++i) {
    server.Say(http2::Connect(2 * i + 1, "10.0.0.1:80") +
               http2::Frame(http2::kData, 0, 2 * i + 1, "x") +
               http2::Frame(http2::kRstStream, 0, 2 * i + 1, http2::U32(8)));
    server.Hear();
  }
  CHECK_EQ(server.requests, 1100);
  CHECK(!server.closed);
}

TEST("session: a peer that has its streams reset by breaking the rules on them is ended") {
  Harness server(kServer);
  std::string flood = Harness::Hello();
  for (uint32_t i = 0; i < 600; ++i) {
    flood += http2::Connect(2 * i + 1, "10.0.0.1:80") +
             http2::Frame(http2::kWindowUpdate, 0, 2 * i + 1, http2::U32(0x7fffffff));
    if (i % 20 != 0) continue;
    server.Say(std::exchange(flood, ""));
    server.Hear();
  }
  CHECK(server.closed);
  CHECK_EQ(server.counters.Read(Counter::kTunnelsFloodedForcedResets), 1u);
}

TEST("session: a flood of PINGs whose answers are not read ends it") {
  Harness server(kServer);
  server.Say(Harness::Hello());
  std::string pings;
  for (int i = 0; i < 5000; ++i) pings += http2::Frame(http2::kPing, 0, 0, "12345678");
  server.Say(pings);
  CHECK(server.closed);
  CHECK_EQ(server.counters.Read(Counter::kTunnelsFlooded), 1u);
}

TEST("session: a peer that sends and does not read is ended") {
  Harness server(kServer);
  // Windows so large that the answer fills the socket, and no acknowledgement of our settings: each
  // stream beyond our bound then makes a frame that waits.
  server.Say(http2::kPreface +
             http2::Frame(http2::kSettings, 0, 0, std::string("\0\x04", 2) + http2::U32(8 << 20)) +
             http2::Frame(http2::kWindowUpdate, 0, 0, http2::U32(8 << 20)) +
             http2::Connect(1, "10.0.0.1:80"));
  server.to_send = std::string(4 << 20, 'x');
  server.session->Resume(server.stream);
  server.Turn(20);
  std::string requests;
  for (uint32_t i = 1; i < 4000; ++i) requests += http2::Connect(2 * i + 1, "10.0.0.1:80");
  server.Say(requests);
  CHECK(server.closed);
  CHECK_EQ(NameOf(server.code), "HBONE_PROTOCOL");
  CHECK_EQ(server.counters.Read(Counter::kTunnelsFlooded), 1u);
  CHECK(server.counters.Read(Counter::kHboneStreamsRefused) >= 1800);
}

TEST("session: PING is answered") {
  Harness server(kServer);
  server.Say(Harness::Hello() + http2::Frame(http2::kPing, 0, 0, "abcdefgh"));
  const http2::Seen* pong = server.Find(http2::kPing);
  REQUIRE(pong != nullptr);
  CHECK_EQ(pong->payload, "abcdefgh");
  CHECK((pong->flags & http2::kAck) != 0);
}

TEST("session: a silent peer is asked, and given up") {
  Http2Options options = MakeTunnelOptions(TestOptions());
  options.ping_interval_ms = 20;
  options.ping_timeout_ms = 60;
  Harness server(kServer, options);
  server.Say(Harness::Hello());
  for (int i = 0; i < 2000 && !server.closed; ++i) server.Turn(1);
  CHECK(server.closed);
  CHECK_EQ(NameOf(server.code), "HBONE_PING_TIMEOUT");
  CHECK(server.Find(http2::kPing) != nullptr);
}

TEST("session: headers beyond the bound reset the stream") {
  Harness server(kServer);
  server.Say(Harness::Hello());
  // One large field in the dynamic table, then thousands of references to it: a small frame, an
  // enormous list.
  std::string block =
      http2::Header(":method", "CONNECT") + http2::Header(":authority", "10.0.0.1:80");
  block += std::string(1, '\x40') + static_cast<char>(1) + "x" + static_cast<char>(100) +
           std::string(100, 'v');
  block += std::string(2000, '\xbe');
  server.Say(http2::Frame(http2::kHeaders, http2::kEndHeaders, 1, block));
  CHECK_EQ(server.requests, 0);
  CHECK(server.Find(http2::kRstStream) != nullptr || server.closed);
  CHECK(server.counters.Read(Counter::kHboneHeadersRefused) > 0);
}

TEST("session: a client reads the status, and refusal of more streams in a GOAWAY") {
  Harness client(kClient);
  client.Say(http2::Frame(http2::kSettings, 0, 0, ""));
  client.stream = client.session->Request(kConnect, true, &client);
  REQUIRE(client.stream != nullptr);
  client.Turn();
  client.Say(http2::Frame(http2::kHeaders, http2::kEndHeaders, 1, http2::Header(":status", "200")));
  CHECK_EQ(client.status, 200);
  client.Say(http2::Frame(http2::kGoaway, 0, 0, http2::U32(1) + http2::U32(0)));
  CHECK(client.session->draining());
  CHECK(client.session->Request(kConnect, true, &client) == nullptr);
  CHECK(!client.stream_closed);  // the live stream goes on
  client.Say(http2::Frame(http2::kData, 0, 1, "still here"));
  CHECK_EQ(client.received, "still here");
}

TEST("session: a client stays below the peer's limit of streams") {
  Harness client(kClient);
  client.Say(http2::Frame(http2::kSettings, 0, 0, std::string("\0\x03\0\0\0\x02", 6)));
  CHECK_EQ(client.session->streams_max(), 2u);
  CHECK(client.session->Request(kConnect, true, &client) != nullptr);
  CHECK(client.session->Request(kConnect, true, &client) != nullptr);
  CHECK(client.session->Request(kConnect, true, &client) == nullptr);
}

TEST("session: a CONNECT that the peer does not take waits, and is forgotten when it is given up") {
  Harness client(kClient);
  client.stream = client.session->Request(kConnect, true, &client);
  REQUIRE(client.stream != nullptr);
  const std::string limit = std::string("\0\x03\0\0\0", 5);
  client.Say(http2::Frame(http2::kSettings, 0, 0, limit + '\0'));
  CHECK(client.Find(http2::kHeaders) == nullptr);
  CHECK(client.session->IsHeldBack(client.stream));
  CHECK_EQ(client.session->streams(), 1u);
  client.session->Reset(client.stream, NGHTTP2_CANCEL);
  client.Turn();
  CHECK_EQ(client.session->streams(), 0u);
  client.Say(http2::Frame(http2::kSettings, 0, 0, limit + '\x01'));
  CHECK(client.Find(http2::kHeaders) == nullptr);
  client.stream = client.session->Request(kConnect, true, &client);
  REQUIRE(client.stream != nullptr);
  const http2::Seen* headers = client.Find(http2::kHeaders);
  REQUIRE(headers != nullptr);
  CHECK_EQ(headers->stream, 3u);
  CHECK(!client.session->IsHeldBack(client.stream));
  CHECK(!client.closed && !client.stream_closed);
}

TEST("session: a lost connection tells its streams why") {
  Harness client(kClient);
  client.Say(http2::Frame(http2::kSettings, 0, 0, ""));
  client.stream = client.session->Request(kConnect, true, &client);
  client.Turn();
  client.peer.Reset();
  client.Turn();
  CHECK(client.closed);
  CHECK(client.stream_closed);
  CHECK(client.lost != ErrorCode::kNone);
}

TEST("session: a drained server gives notice, serves what is there, and says where it stopped") {
  Harness server(kServer);
  server.Say(Harness::Hello() + http2::Connect(1, "10.0.0.1:80"));
  server.session->Drain();
  const http2::Seen* notice = server.Find(http2::kGoaway);
  REQUIRE(notice != nullptr);
  CHECK_EQ(notice->payload.substr(0, 4), http2::U32(0x7fffffff));
  server.Say(http2::Frame(http2::kData, 0, 1, "more"));
  CHECK_EQ(server.received, "more");
}

TEST("session: a drained client goes when the last bytes of its last stream have gone") {
  Harness client(kClient);
  client.Say(http2::Frame(http2::kSettings, 0, 0, ""));
  client.stream = client.session->Request(kConnect, true, &client);
  client.Turn();
  client.Say(http2::Frame(http2::kHeaders, http2::kEndHeaders, 1, http2::Header(":status", "200")) +
             http2::Frame(http2::kData, http2::kEndStream, 1, ""));
  REQUIRE(client.ended);
  client.Hear();
  // Room for a part of what is said last.
  const int little = 4096;
  REQUIRE(setsockopt(client.session_fd, SOL_SOCKET, SO_SNDBUF, &little, sizeof little) == 0);
  client.to_send = std::string(40000, 'x');
  client.end_wanted = true;
  client.session->Resume(client.stream);
  client.session->Drain();
  client.Turn();
  CHECK(!client.closed);
  std::string said;
  uint8_t last_flags = 0;
  for (const http2::Seen& frame : client.Hear()) {
    if (frame.type != http2::kData) continue;
    said += frame.payload;
    last_flags = frame.flags;
  }
  CHECK_EQ(said.size(), 40000u);
  CHECK((last_flags & http2::kEndStream) != 0);
  CHECK(client.closed);
}

RUN_TESTS()
