// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <utility>

namespace groundwire {

/// A place in a ring of objects: each is in one ring at a time, and out of it when it is destroyed.
/// Joining and leaving cost no memory and no search. The head of a ring is a place that stands for no
/// object; a ring without a head would be found by nobody.
class RingPlace {
 public:
  RingPlace() = default;
  RingPlace(const RingPlace&) = delete;
  RingPlace& operator=(const RingPlace&) = delete;
  ~RingPlace() { Leave(); }

  void Leave() {
    previous_->next_ = next_;
    next_->previous_ = previous_;
    previous_ = next_ = this;
  }
  /// As the last one of that ring.
  void Join(RingPlace* head) {
    Leave();
    previous_ = head->previous_;
    next_ = head;
    previous_->next_ = next_->previous_ = this;
  }
  /// A head takes all that are in another head's ring, behind its own.
  void TakeAll(RingPlace* other) {
    while (!other->alone()) other->next_->Join(this);
  }
  bool alone() const { return next_ == this; }
  RingPlace* next() const { return next_; }

 private:
  RingPlace* previous_ = this;
  RingPlace* next_ = this;
};

}  // namespace groundwire
