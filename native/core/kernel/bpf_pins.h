// SPDX-License-Identifier: Apache-2.0
// The directory in bpffs that outlives the agent: who may use it, how it comes to be, how it goes.
#pragma once
#include <string>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace groundwire {

/// bpffs reserves dots in names, node names and pod uids have them.
std::string PinName(std::string name);

/// The directory as it is spelled in bpffs, its parents made with mode 0700. Fails where it would not
/// be in bpffs: mounting that is the agent's part, before it opens an engine.
Result<std::string> PreparePinParent(const std::string& directory);

/// Takes the directory for this process. Fails with EBUSY and the holder's pid when another one has
/// it.
Result<UniqueFd> LockPinDirectory(const std::string& directory);

Status MakePinDirectory(const std::string& directory);
/// Gives a directory built aside its name, unless that is taken (EEXIST).
Status RenamePinDirectory(const std::string& from, const std::string& to);
/// Names in a directory; none when it is not there, which no other failure says.
Result<std::vector<std::string>> ListPins(const std::string& directory);
/// A directory with everything in it, or one pin. Not there is success.
Status RemovePins(const std::string& path);

Status PinObject(int fd, const std::string& path);
/// ENOENT when nothing is pinned there.
Result<UniqueFd> OpenPin(const std::string& path);

}  // namespace groundwire
