// SPDX-License-Identifier: Apache-2.0
#include "support/agent.h"

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <utility>
#include <variant>

#include "support/options.h"

namespace groundwire {
namespace {

std::atomic<uint64_t> next_verdict{1};

}  // namespace

std::string IdentityOf(const std::string& service_account) {
  return std::string("spiffe://") + kTrustDomain + "/ns/test/sa/" + service_account;
}

std::optional<msg::BatchFailed> FailureOf(const msg::BatchDone& done) {
  const auto* failed = std::get_if<msg::BatchFailed>(&done.outcome);
  return failed == nullptr ? std::nullopt : std::optional(*failed);
}

TestAgent::TestAgent(const std::function<void(msg::EngineOptions*)>& adjust) {
  EnterPrivateNetwork();
  msg::EngineOptions options = TestOptions();
  adjust(&options);
  auto opened = Engine::OpenWith(options, this, MakeLoopbackCapture(&node), MakeLoopbackSockets());
  if (!opened.ok()) {
    std::cerr << opened.status().ToString() << std::endl;
    std::abort();
  }
  engine = std::move(opened.value());
  thread_ = std::thread([this] { Loop(); });
}

TestAgent::~TestAgent() {
  engine->Close();
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void TestAgent::Wake() {
  const std::lock_guard lock(mutex_);
  woken_ = true;
  changed_.notify_all();
}

void TestAgent::Loop() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return woken_ || ending_; });
      if (ending_) return;
      woken_ = false;
    }
    std::vector<uint8_t> packed;
    uint64_t dropped = 0;
    engine->DrainEvents(&packed, 1000, &dropped);
    std::vector<msg::Event> events;
    if (!msg::DecodeBatch(packed, &events)) std::abort();
    Take(std::move(events));
  }
}

void TestAgent::Take(std::vector<msg::Event> events) {
  std::vector<msg::Answer> answers;
  {
    const std::lock_guard lock(mutex_);
    for (msg::Event& event : events) {
      if (const auto* outbound = std::get_if<msg::OutboundQuestion>(&event)) {
        ++questions_;
        if (outbound_) {
          if (auto answer = outbound_(*outbound)) answers.emplace_back(std::move(*answer));
        }
      } else if (const auto* inbound = std::get_if<msg::InboundQuestion>(&event)) {
        ++questions_;
        if (inbound_) {
          if (auto answer = inbound_(*inbound)) answers.emplace_back(std::move(*answer));
        }
      } else if (const auto* dns = std::get_if<msg::DnsQuery>(&event)) {
        if (dns_) {
          if (auto answer = dns_(*dns)) answers.emplace_back(std::move(*answer));
        }
      }
      events_.push_back(std::move(event));
    }
    changed_.notify_all();
  }
  if (!answers.empty()) engine->Answer(std::move(answers));
}

msg::BatchDone TestAgent::Apply(std::vector<msg::Command> commands) {
  const uint64_t batch = ++batch_;
  engine->Apply(batch, std::move(commands));
  const auto done =
      Await<msg::BatchDone>([batch](const msg::BatchDone& event) { return event.batch == batch; });
  if (!done) std::abort();
  return *done;
}

void TestAgent::AddPod(uint32_t pod, bool dns, msg::ExistingConnections existing,
                       const std::vector<std::string>& addresses) {
  const std::string identity = IdentityOf("pod" + std::to_string(pod));
  msg::CapturePod capture;
  capture.pod = pod;
  capture.uid = "uid-" + std::to_string(pod);
  capture.netns_path = "/proc/self/ns/net";
  for (const std::string& address : addresses)
    capture.addresses.push_back(*IpAddress::Parse(address));
  if (addresses.empty()) capture.addresses = {*IpAddress::Parse(AddressOf(pod))};
  capture.identity = identity;
  capture.existing = existing;
  capture.dns = dns;
  const msg::BatchDone done = Apply({authority_.Sign(identity), capture});
  if (const auto failure = FailureOf(done)) {
    std::cerr << failure->op << " " << failure->detail << std::endl;
    std::abort();
  }
}

void TestAgent::SetRules(OutboundRule outbound, InboundRule inbound) {
  const std::lock_guard lock(mutex_);
  outbound_ = std::move(outbound);
  inbound_ = std::move(inbound);
}

void TestAgent::SetDnsRule(DnsRule dns) {
  const std::lock_guard lock(mutex_);
  dns_ = std::move(dns);
}

uint64_t TestAgent::Counter(const std::string& name) {
  for (const msg::Counter& counter : Snapshot<msg::Counter>(msg::kPartCounters)) {
    if (counter.name == name) return counter.value;
  }
  return 0;
}

std::vector<uint64_t> TestAgent::verdicts_given() {
  std::vector<uint64_t> verdicts;
  for (uint64_t verdict = 1; verdict < next_verdict; ++verdict) verdicts.push_back(verdict);
  return verdicts;
}

bool TestAgent::Eventually(const std::function<bool()>& done) {
  for (int i = 0; i < 1000; ++i) {
    if (done()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

msg::OutboundAnswer TestAgent::Hbone(uint64_t question, const SocketAddress& next_hop,
                                     const std::string& authority,
                                     const std::vector<std::string>& identities) {
  msg::OutboundAnswer answer;
  answer.question = question;
  answer.verdict = next_verdict++;
  answer.flow_label = 11;
  msg::AnswerChoice choice;
  choice.kind = msg::HopKind::kHbone;
  choice.weight = 1;
  choice.next_hop = next_hop;
  choice.hbone_authority = authority;
  choice.upstream_identities = identities;
  choice.flow_label = 12;
  answer.choices.push_back(choice);
  answer.baggage = "k8s.namespace.name=test";
  return answer;
}

msg::OutboundAnswer TestAgent::Refusal(uint64_t question, ErrorCode code) {
  msg::OutboundAnswer answer;
  answer.question = question;
  answer.verdict = next_verdict++;
  answer.code = static_cast<uint16_t>(code);
  answer.flow_label = 13;
  return answer;
}

msg::InboundAnswer TestAgent::Allow(uint64_t question, uint8_t consulted) {
  msg::InboundAnswer answer;
  answer.question = question;
  answer.verdict = next_verdict++;
  answer.consulted = consulted;
  answer.flow_label = 21;
  return answer;
}

msg::InboundAnswer TestAgent::Deny(uint64_t question, ErrorCode code) {
  msg::InboundAnswer answer = Allow(question, msg::BitOf(msg::ConsultedField::kIdentity));
  answer.code = static_cast<uint16_t>(code);
  return answer;
}

}  // namespace groundwire
