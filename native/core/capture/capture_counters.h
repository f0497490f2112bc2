// SPDX-License-Identifier: Apache-2.0
// What the kernel programs have counted, in a pinned map of one slot a counter.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace groundwire {

/// Each counter by its name, summed over the processors.
Result<std::vector<std::pair<std::string, uint64_t>>> SumCounters(int map);

/// Makes the map that is pinned there as long as this agent's programs need it, with what it has
/// counted: the agent that made it may know of fewer counters, or of more. Before the programs that
/// count in it are loaded; what programs of the agent before count meanwhile is lost.
Status FitCounters(const std::string& pin);

}  // namespace groundwire
