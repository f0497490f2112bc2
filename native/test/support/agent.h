// SPDX-License-Identifier: Apache-2.0
// TypeScript's part, played by a test: answers questions by rules, keeps every other event.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "engine/engine.h"
#include "support/certificates.h"
#include "support/loopback.h"

namespace groundwire {

inline constexpr char kTrustDomain[] = "cluster.local";
std::string IdentityOf(const std::string& service_account);

/// Why a batch ended early; nullopt for one that was executed whole.
std::optional<msg::BatchFailed> FailureOf(const msg::BatchDone& done);

class TestAgent final : public EventSink {
 public:
  using OutboundRule =
      std::function<std::optional<msg::OutboundAnswer>(const msg::OutboundQuestion&)>;
  using InboundRule = std::function<std::optional<msg::InboundAnswer>(const msg::InboundQuestion&)>;
  using DnsRule = std::function<std::optional<msg::DnsAnswer>(const msg::DnsQuery&)>;

  explicit TestAgent(const std::function<void(msg::EngineOptions*)>& adjust =
                         [](msg::EngineOptions*) {});
  ~TestAgent() override;
  TestAgent(const TestAgent&) = delete;
  TestAgent& operator=(const TestAgent&) = delete;

  void Wake() override;
  /// Waits for BatchDone.
  msg::BatchDone Apply(std::vector<msg::Command> commands);
  /// Pod `pod` at 10.202.<pod>.1 with identity sa "pod<pod>", certificate by authority().
  /// `addresses`: AddressOf(pod) alone where none are given.
  void AddPod(uint32_t pod, bool dns = false,
              msg::ExistingConnections existing = msg::ExistingConnections::kKeep,
              const std::vector<std::string>& addresses = {});
  static std::string AddressOf(uint32_t pod) { return "10.202." + std::to_string(pod) + ".1"; }

  void SetRules(OutboundRule outbound, InboundRule inbound);
  void SetDnsRule(DnsRule dns);
  /// The first kept event of that type that fits, waiting for it; it is taken out.
  template <typename T>
  std::optional<T> Await(
      const std::function<bool(const T&)>& fits = [](const T&) { return true; },
      int timeout_ms = 10000) {
    std::unique_lock lock(mutex_);
    std::optional<T> found;
    changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms), [&] {
      for (auto it = events_.begin(); it != events_.end(); ++it) {
        const T* event = std::get_if<T>(&*it);
        if (event == nullptr || !fits(*event)) continue;
        found = *event;
        events_.erase(it);
        return true;
      }
      return false;
    });
    return found;
  }
  template <typename T>
  std::vector<T> Snapshot(uint8_t part) {
    std::vector<uint8_t> packed;
    engine->ReadSnapshot(part, &packed);
    std::vector<msg::Snapshot> all;
    std::vector<T> wanted;
    if (!msg::DecodeBatch(packed, &all)) return wanted;
    for (msg::Snapshot& one : all) {
      if (T* fits = std::get_if<T>(&one)) wanted.push_back(std::move(*fits));
    }
    return wanted;
  }
  uint64_t Counter(const std::string& name);
  /// Polls until `done` or 10 s have passed.
  static bool Eventually(const std::function<bool()>& done);
  int questions() const { return questions_; }
  /// Ids of every verdict that was given so far by any agent of this process.
  static std::vector<uint64_t> verdicts_given();
  TestAuthority& authority() { return authority_; }

  // Rules in use by many tests.
  static msg::OutboundAnswer Hbone(uint64_t question, const SocketAddress& next_hop,
                                   const std::string& authority,
                                   const std::vector<std::string>& identities);
  static msg::OutboundAnswer Refusal(uint64_t question, ErrorCode code);
  static msg::InboundAnswer Allow(uint64_t question, uint8_t consulted = 0);
  static msg::InboundAnswer Deny(uint64_t question, ErrorCode code);

  LoopbackNode node;
  std::unique_ptr<Engine> engine;

 private:
  void Loop();
  void Take(std::vector<msg::Event> events);

  TestAuthority authority_{"mesh root"};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false;
  bool ending_ = false;
  uint64_t batch_ = 0;
  std::atomic<int> questions_{0};
  std::vector<msg::Event> events_;
  OutboundRule outbound_;
  InboundRule inbound_;
  DnsRule dns_;
  std::thread thread_;
};

}  // namespace groundwire
