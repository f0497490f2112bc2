// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace groundwire {

/// A resolver on port 53 of an address of the private network, over UDP and TCP: it says what a
/// rule says.
class NameServer {
 public:
  using Message = std::vector<uint8_t>;
  /// Every message that is sent, in order; over TCP all of them at once.
  using Rule = std::function<std::vector<Message>(const Message& query)>;

  NameServer(const std::string& address, Rule rule);
  ~NameServer();
  NameServer(const NameServer&) = delete;
  NameServer& operator=(const NameServer&) = delete;

  /// The address that the last query came from; "" when there was none.
  std::string LastClient();

 private:
  void Serve();
  void AnswerDatagram();
  void AnswerStream();
  void Remember(const std::string& client);

  const Rule rule_;
  const UniqueFd udp_;
  const UniqueFd tcp_;
  const UniqueFd stop_;
  std::mutex mutex_;
  std::string last_client_;
  std::vector<UniqueFd> streams_;  // open as long as the server, as a resolver's are
  std::thread thread_;
};

}  // namespace groundwire
