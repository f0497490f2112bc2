// SPDX-License-Identifier: Apache-2.0
// Approvals whose owners cannot take them back any more. An approval that stays would let a
// stranger with the same addresses and ports past the agent, if the namespace is captured again.
#pragma once
#include <cstdint>

#include "base/status.h"

namespace groundwire {

/// Of connections to one namespace.
Status ForgetApprovals(int approvals, uint64_t netns_cookie);
/// All: whoever made the deliveries is gone. A probe whose SYN is under way just now is steered.
Status ForgetApprovals(int approvals);

}  // namespace groundwire
