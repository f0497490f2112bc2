// SPDX-License-Identifier: Apache-2.0
// Two HTTP/2 sessions with each other, as a request and its response see them.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "check.h"
#include "hbone/tunnel_context.h"
#include "http2/http2_byte_stream.h"
#include "http2/http2_session.h"
#include "support/certificates.h"
#include "support/options.h"
#include "support/plain_stream.h"
#include "tls/secured_stream.h"

using namespace groundwire;

namespace {

std::string Joined(const HeaderList& headers) {
  std::string text;
  for (size_t i = 0; i < headers.size(); ++i) {
    text.append(headers[i].name).append("=").append(headers[i].value).append(" ");
  }
  return text;
}

/// One end of a request, with all that it was told in the order in which it was.
struct End final : Http2StreamHandler {
  size_t ReadForStream(uint8_t* buffer, size_t size, bool* end) override {
    const size_t count = std::min(size, body.size());
    std::copy_n(body.begin(), count, buffer);
    body.erase(0, count);
    *end = count == 0 && body_ends;
    return count;
  }
  void OnInterimResponse(uint16_t status, const HeaderList& headers) override {
    seen += "interim " + std::to_string(status) + " " + Joined(headers) + "| ";
  }
  void OnResponse(uint16_t status, const HeaderList& headers) override {
    seen += "response " + std::to_string(status) + " " + Joined(headers) +
            (stream->peer_ended ? "whole" : "") + "| ";
  }
  void OnStreamData(const uint8_t* data, size_t size) override {
    received.append(reinterpret_cast<const char*>(data), size);
    session->Consume(stream, size);
  }
  void OnStreamTrailers(const HeaderList& headers) override {
    seen += "trailers " + Joined(headers) + "| ";
  }
  void OnStreamEnd() override { seen += "end | "; }
  void OnStreamClosed(uint32_t h2_error, ErrorCode lost) override {
    stream = nullptr;
    seen += "closed " + std::to_string(h2_error);
    if (lost != ErrorCode::kNone) seen += " " + std::string(NameOf(lost));
  }

  Http2Session* session = nullptr;
  Http2Stream* stream = nullptr;
  std::string body;
  bool body_ends = true;
  std::string received;
  std::string seen;
};

struct Side final : Http2SessionOwner {
  void OnEstablished(Http2Session*) override {}
  void OnRequest(Http2Session* session, Http2Stream* stream, HeaderList headers) override {
    end.session = session;
    end.stream = stream;
    end.seen += "request " + Joined(headers) + (stream->peer_ended ? "whole" : "") + "| ";
    session->SetHandler(stream, &end);
    kept = std::move(headers);
  }
  void OnMalformedRequest(Http2Session*, const HeaderList& headers, const char*) override {
    end.seen += "malformed " + Joined(headers) + "| ";
  }
  void OnCapacity(Http2Session*) override {}
  void OnSessionClosed(Http2Session*, ErrorCode code, const std::string&) override {
    closed = NameOf(code);
  }

  End end;
  HeaderList kept;
  std::string closed;
};

struct Thread {
  Thread() {
    if (!loop.Open().ok()) std::abort();
  }
  Counters loop_counters;
  EventLoop loop{&loop_counters};
  ThreadScratch scratch;
};

/// Two sessions over the two ends of whatever carries bytes.
struct Exchange {
  explicit Exchange(Thread* of) : thread(of) {}
  void Open(std::unique_ptr<ByteStream> client_end, std::unique_ptr<ByteStream> server_end) {
    client = Start(Http2Session::Role::kClient, std::move(client_end), &client_options, &at_client);
    server = Start(Http2Session::Role::kServer, std::move(server_end), &server_options, &at_server);
    Turn();
  }
  std::unique_ptr<Http2Session> Start(Http2Session::Role role, std::unique_ptr<ByteStream> stream,
                                      const Http2Options* options, Side* side) {
    auto session = std::make_unique<Http2Session>(role, std::move(stream), *options, &thread->loop,
                                                  &thread->scratch, &counters, side);
    if (!session->Start().ok()) std::abort();
    return session;
  }
  void Turn(int turns = 20) {
    for (int i = 0; i < turns; ++i) thread->loop.RunTurn(1);
  }
  End& Ask(const std::vector<HeaderView>& headers, bool body) {
    at_client.end.session = client.get();
    at_client.end.stream = client->Request(headers, body, &at_client.end);
    Turn();
    return at_client.end;
  }
  void Answer(const std::vector<HeaderView>& headers, bool body) {
    server->Respond(at_server.end.stream, headers, body, &at_server.end);
    Turn();
  }

  Http2Options client_options = MakeTunnelOptions(TestOptions());
  Http2Options server_options = MakeTunnelOptions(TestOptions());
  Counters counters;
  Thread* const thread;
  Side at_client;
  Side at_server;
  std::unique_ptr<Http2Session> client;
  std::unique_ptr<Http2Session> server;
};

std::array<UniqueFd, 2> SocketPair() {
  int ends[2] = {};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0) std::abort();
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

/// In clear bytes.
struct Pair : Thread, Exchange {
  explicit Pair(const Http2Options& at_server_options = MakeTunnelOptions(TestOptions()))
      : Exchange(static_cast<Thread*>(this)) {
    server_options = at_server_options;
    auto [client_fd, server_fd] = SocketPair();
    Open(std::make_unique<PlainStream>(std::move(client_fd), &loop),
         std::make_unique<PlainStream>(std::move(server_fd), &loop));
  }
};

/// A CONNECT that both sides agreed on, over TLS, and another exchange inside of it.
struct Nested : Thread {
  Nested() {
    const TestAuthority authority("root");
    const std::array<std::string_view, 1> protocols = {kAlpnHttp2};
    const SecuredStreamOptions options = {.protocols = protocols};
    auto [client_fd, server_fd] = SocketPair();
    outer.Open(DialSecuredStream(std::move(client_fd), Identity(authority, "web"), expected,
                                 options, &loop, &scratch),
               AcceptSecuredStream(std::move(server_fd), Identity(authority, "db"), "cluster.local",
                                   options, &loop, &scratch));
    outer.at_client.end.body_ends = false;
    outer.at_server.end.body_ends = false;
    outer.Ask({{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}}, true);
    outer.Answer({{":status", "200"}}, true);
    inner.Open(
        std::make_unique<Http2ByteStream>(&loop, outer.client.get(), outer.at_client.end.stream),
        std::make_unique<Http2ByteStream>(&loop, outer.server.get(), outer.at_server.end.stream));
  }
  static std::shared_ptr<const TlsIdentity> Identity(const TestAuthority& authority,
                                                     const std::string& account) {
    auto made = MakeTlsIdentity(authority.Sign("spiffe://cluster.local/ns/shop/sa/" + account), 1);
    if (!made.ok()) std::abort();
    return made.value();
  }

  const std::vector<std::string> expected = {"spiffe://cluster.local/ns/shop/sa/db"};
  Exchange outer{this};
  Exchange inner{this};
};

const std::vector<HeaderView> kGet = {
    {":method", "GET"}, {":scheme", "http"}, {":authority", "web"}, {":path", "/a?b"}};

}  // namespace

TEST("exchange: a GET is whole with its headers, its answer has a body") {
  Pair pair;
  End& client = pair.Ask(
      {{":method", "GET"}, {":scheme", "http"}, {":authority", "web"}, {":path", "/"}, {"x", "1"}},
      false);
  CHECK_EQ(pair.at_server.end.seen,
           "request :method=GET :scheme=http :authority=web :path=/ x=1 whole| end | ");
  pair.at_server.end.body = std::string(300000, 'b');
  pair.Answer({{":status", "200"}, {"content-length", "300000"}}, true);
  CHECK_EQ(client.seen, "response 200 :status=200 content-length=300000 | end | closed 0");
  CHECK_EQ(client.received.size(), 300000u);
  CHECK(pair.at_server.end.seen.ends_with("closed 0"));
}

TEST("exchange: a list that was moved out stays when its call and its stream are over") {
  Pair pair;
  pair.Ask(kGet, false);
  pair.Answer({{":status", "204"}}, false);
  pair.client.reset();
  pair.Turn();
  CHECK_EQ(Joined(pair.at_server.kept), ":method=GET :scheme=http :authority=web :path=/a?b ");
}

TEST("exchange: bodies and trailers go both ways") {
  Pair pair;
  pair.at_client.end.body = "question";
  pair.at_client.end.body_ends = false;
  End& client = pair.Ask({{":method", "POST"},
                          {":scheme", "http"},
                          {":authority", "web"},
                          {":path", "/"},
                          {"te", "trailers"}},
                         true);
  CHECK_EQ(pair.at_server.end.received, "question");
  const std::array<HeaderView, 1> checksum = {{{"checksum", "c"}}};
  pair.client->SetTrailers(client.stream, checksum);
  client.body_ends = true;
  pair.client->Resume(client.stream);
  pair.Turn();
  CHECK(pair.at_server.end.seen.ends_with("| trailers checksum=c | end | "));

  const std::array<HeaderView, 2> grpc = {{{"grpc-status", "0"}, {"grpc-message", ""}}};
  pair.at_server.end.body = "answer";
  pair.server->SetTrailers(pair.at_server.end.stream, grpc);
  pair.Answer({{":status", "200"}}, true);
  CHECK_EQ(client.received, "answer");
  CHECK_EQ(client.seen,
           "response 200 :status=200 | trailers grpc-status=0 grpc-message= | end | closed 0");
}

TEST("exchange: a response with trailers and no body is one") {
  Pair pair;
  End& client = pair.Ask(kGet, false);
  const std::array<HeaderView, 1> grpc = {{{"grpc-status", "5"}}};
  pair.server->SetTrailers(pair.at_server.end.stream, grpc);
  pair.Answer({{":status", "200"}}, true);
  CHECK_EQ(client.received, "");
  CHECK_EQ(client.seen, "response 200 :status=200 | trailers grpc-status=5 | end | closed 0");
}

TEST("exchange: interim responses come before the response, each as it is") {
  Pair pair;
  pair.at_client.end.body_ends = false;
  End& client = pair.Ask({{":method", "PUT"},
                          {":scheme", "http"},
                          {":authority", "web"},
                          {":path", "/"},
                          {"expect", "100-continue"}},
                         true);
  const std::array<HeaderView, 1> go_on = {{{":status", "100"}}};
  const std::array<HeaderView, 2> hints = {{{":status", "103"}, {"link", "</a>"}}};
  pair.server->RespondInterim(pair.at_server.end.stream, go_on);
  pair.server->RespondInterim(pair.at_server.end.stream, hints);
  pair.Turn();
  CHECK_EQ(client.seen, "interim 100 :status=100 | interim 103 :status=103 link=</a> | ");
  client.body = "body";
  client.body_ends = true;
  pair.client->Resume(client.stream);
  pair.Turn();
  CHECK_EQ(pair.at_server.end.received, "body");
  pair.Answer({{":status", "201"}}, false);
  CHECK(client.seen.ends_with("| response 201 :status=201 whole| end | closed 0"));
}

TEST("exchange: the answer to a HEAD ends with its headers, whatever length it tells") {
  Pair pair;
  End& client = pair.Ask(
      {{":method", "HEAD"}, {":scheme", "http"}, {":authority", "web"}, {":path", "/"}}, false);
  pair.Answer({{":status", "200"}, {"content-length", "5000"}}, false);
  CHECK_EQ(client.seen, "response 200 :status=200 content-length=5000 whole| end | closed 0");
}

TEST("exchange: a reset is told to the other side with its code") {
  Pair pair;
  pair.at_client.end.body_ends = false;
  pair.Ask({{":method", "POST"}, {":scheme", "http"}, {":authority", "web"}, {":path", "/"}}, true);
  pair.client->Reset(std::exchange(pair.at_client.end.stream, nullptr), NGHTTP2_CANCEL);
  pair.Turn();
  CHECK(pair.at_server.end.seen.ends_with("| closed 8"));
  CHECK_EQ(pair.at_client.end.seen, "");
  CHECK_EQ(pair.client->streams(), 0u);
  CHECK_EQ(pair.server->streams(), 0u);
}

TEST("exchange: a refusal needs no body, and stops the request's") {
  Pair pair;
  pair.at_client.end.body_ends = false;
  End& client = pair.Ask(
      {{":method", "POST"}, {":scheme", "http"}, {":authority", "web"}, {":path", "/"}}, true);
  pair.server->Refuse(std::exchange(pair.at_server.end.stream, nullptr), 413);
  pair.Turn();
  CHECK_EQ(client.seen, "response 413 :status=413 whole| end | closed 0");
  CHECK_EQ(pair.server->streams(), 0u);
}

TEST("exchange: a server that goes away serves what is there, and the client asks nothing more") {
  Pair pair;
  End& client = pair.Ask(kGet, false);
  pair.server->Drain();
  pair.Turn();
  CHECK(pair.client->draining());
  CHECK(pair.client->Request(kGet, false, &client) == nullptr);
  pair.Answer({{":status", "200"}}, false);
  CHECK(client.seen.ends_with("| end | closed 0"));
  pair.Turn();
  CHECK_EQ(pair.at_client.closed, "HBONE_GOAWAY");
}

TEST("exchange: streams of a session that is closed are told why") {
  Pair pair;
  End& client = pair.Ask(kGet, false);
  pair.server->Close(ErrorCode::kDrained, "test");
  pair.Turn();
  CHECK(pair.at_server.end.seen.ends_with("closed 0 DRAINED"));
  CHECK_EQ(client.seen, "closed 0 HBONE_GOAWAY");
}

TEST("exchange: a response with more headers than the bound is refused and counted") {
  Pair pair;
  pair.client_options.response_list_bytes_max = 1000;
  End& client = pair.Ask(kGet, false);
  const std::string long_value(1000, 'x');
  pair.Answer({{":status", "200"}, {"x", long_value}}, false);
  CHECK_EQ(client.seen, "closed 11");
  CHECK_EQ(pair.counters.Read(Counter::kHboneHeadersRefused), 1u);
}

TEST("exchange: a request with more fields than the bound is refused and counted") {
  Http2Options options = MakeTunnelOptions(TestOptions());
  options.header_fields_max = 4;
  Pair pair(options);
  End& client = pair.Ask(kGet, false);
  CHECK(pair.at_server.end.seen.starts_with("request"));
  pair.Ask(
      {{":method", "GET"}, {":scheme", "http"}, {":authority", "w"}, {":path", "/"}, {"x", ""}},
      false);
  CHECK_EQ(client.seen, "closed 11");
  CHECK_EQ(pair.counters.Read(Counter::kHboneHeadersRefused), 1u);
}

TEST("exchange: CONNECT with a protocol is taken where it is switched on, and nowhere else") {
  const std::vector<HeaderView> websocket = {{":method", "CONNECT"},
                                             {":protocol", "websocket"},
                                             {":scheme", "http"},
                                             {":authority", "web"},
                                             {":path", "/chat"}};
  Http2Options options = MakeTunnelOptions(TestOptions());
  options.extended_connect = true;
  Pair with(options);
  CHECK(with.client->takes_extended_connect());
  with.at_client.end.body_ends = false;
  with.Ask(websocket, true);
  CHECK(with.at_server.end.seen.starts_with("request :method=CONNECT :protocol=websocket"));
  with.at_server.end.body_ends = false;
  with.at_server.end.body = "frames";
  with.Answer({{":status", "200"}}, true);
  CHECK_EQ(with.at_client.end.received, "frames");

  Pair without;
  CHECK(!without.client->takes_extended_connect());
  without.Ask(websocket, true);
  CHECK(without.at_server.end.seen.starts_with("malformed"));
  CHECK(without.at_client.end.seen.starts_with("closed 1"));
}

TEST("exchange: HTTP runs inside a stream of HTTP over TLS, both ways at once") {
  Nested nested;
  nested.inner.at_client.end.body = std::string(3 << 20, 'q');
  nested.inner.at_server.end.body = std::string(2 << 20, 'a');
  End& client = nested.inner.Ask(
      {{":method", "POST"}, {":scheme", "http"}, {":authority", "web"}, {":path", "/"}}, true);
  const std::array<HeaderView, 1> trailers = {{{"grpc-status", "0"}}};
  nested.inner.server->SetTrailers(nested.inner.at_server.end.stream, trailers);
  nested.inner.Answer({{":status", "200"}}, true);
  for (int i = 0; i < 500 && client.stream != nullptr; ++i) nested.inner.Turn(1);
  nested.inner.Turn(100);  // the client's end is there before its last bytes are
  CHECK(nested.inner.at_server.end.received == std::string(3 << 20, 'q'));
  CHECK(client.received == std::string(2 << 20, 'a'));
  CHECK_EQ(client.seen, "response 200 :status=200 | trailers grpc-status=0 | end | closed 0");
}

TEST("exchange: HTTP inside ends with its GOAWAY, then the stream around it, and nothing more") {
  Nested nested;
  nested.inner.Ask(kGet, false);
  nested.inner.Answer({{":status", "204"}}, false);
  nested.inner.client->Close(ErrorCode::kNone, "done");
  nested.inner.Turn();
  CHECK_EQ(nested.inner.at_server.closed, "HBONE_GOAWAY");
  CHECK_EQ(nested.outer.client->streams(), 0u);
  CHECK_EQ(nested.outer.server->streams(), 0u);
  CHECK(nested.outer.at_client.closed.empty() && nested.outer.at_server.closed.empty());
}

TEST("exchange: what ends the session around it ends HTTP inside, and says why") {
  Nested nested;
  nested.inner.Ask(kGet, false);
  nested.outer.client->Close(ErrorCode::kCertificateExpired, "no newer proof");
  nested.inner.Turn();
  CHECK_EQ(nested.inner.at_client.closed, "PEER_RESET");
  CHECK_EQ(nested.inner.client->close_detail(), "no newer proof");
  CHECK(!nested.inner.at_server.closed.empty());
}

RUN_TESTS()
