// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <utility>

#include "base/error_code.gen.h"
#include "capture/pod.h"

namespace groundwire {

class Connection;

/// A worker's books: the connections that live there, which they own, and the pods these live by.
class Books {
 public:
  /// LIMIT_CONNECTIONS, counted, where there is no room for one more connection of the pod.
  virtual ErrorCode Admit(const Pod& pod) = 0;
  /// Takes the connection until Forget.
  template <typename T>
  T* Adopt(std::unique_ptr<T> connection) {
    T* const adopted = connection.get();
    Enter(std::move(connection));
    return adopted;
  }
  virtual void Forget(Connection* connection) = 0;
  /// A connection lives by this pod too from now on: a handoff by its destination.
  virtual void Join(uint32_t pod) = 0;
  /// nullptr when it is not captured here, or is being released: nothing new goes to it.
  virtual std::shared_ptr<const Pod> FindPod(uint32_t pod) const = 0;

 protected:
  ~Books() = default;
  virtual void Enter(std::unique_ptr<Connection> connection) = 0;
};

}  // namespace groundwire
