// SPDX-License-Identifier: Apache-2.0
#include "kernel/bpf_pins.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace groundwire {
namespace {

bool IsBpffs(const std::string& path) {
  struct statfs info = {};
  return statfs(path.c_str(), &info) == 0 && info.f_type == BPF_FS_MAGIC;
}

bool Exists(const std::string& path) {
  struct stat info = {};
  return lstat(path.c_str(), &info) == 0;
}

/// The deepest directory of `path` that exists.
std::string ExistingAncestor(std::string path) {
  while (path.size() > 1 && !Exists(path)) path.resize(std::max<size_t>(path.rfind('/'), 1));
  return path;
}

/// The process that holds a flock on this inode, from /proc/locks; 0 when it cannot be told
/// (another pid namespace).
long LockHolder(int fd) {
  struct stat info = {};
  if (fstat(fd, &info) != 0) return 0;
  char inode[64];
  (void)std::snprintf(inode, sizeof inode, "%02x:%02x:%lu", major(info.st_dev), minor(info.st_dev),
                      static_cast<unsigned long>(info.st_ino));
  std::ifstream locks("/proc/locks");
  for (std::string line; std::getline(locks, line);) {
    // 1: FLOCK  ADVISORY  WRITE 1234 00:2f:5678 0 EOF
    std::istringstream fields(line);
    std::string number, kind, advice, access, holder, file;
    fields >> number >> kind >> advice >> access >> holder >> file;
    if (kind == "FLOCK" && file == inode) return std::strtol(holder.c_str(), nullptr, 10);
  }
  return 0;
}

Status RemoveTree(const std::string& path) {
  const auto names = ListPins(path);
  if (!names.ok()) return names.status();
  for (const std::string& name : names.value()) {
    if (Status removed = RemovePins(path + "/" + name); !removed.ok()) return removed;
  }
  if (rmdir(path.c_str()) != 0) return Status::Error("rmdir pin directory", errno, path);
  return Status::Ok();
}

}  // namespace

std::string PinName(std::string name) {
  std::replace(name.begin(), name.end(), '.',
               '+');  // no node name, pod name or uid contains a plus
  return name;
}

Result<std::string> PreparePinParent(const std::string& directory) {
  if (directory.empty() || directory.front() != '/' || directory.back() == '/') {
    return Status::Error("check pin directory", EINVAL, "must be an absolute path: " + directory);
  }
  if (!IsBpffs(ExistingAncestor(directory))) {
    return Status::Error(
        "find bpffs", EINVAL,
        directory + " is not in a bpf filesystem; mount one above it: mount -t bpf bpf DIR");
  }
  // Only what is to be made in bpffs is respelled, a mount point may be called as it likes.
  std::string made;
  size_t start = 1;
  while (start < directory.size()) {
    const size_t end = std::min(directory.find('/', start), directory.size());
    const std::string name = directory.substr(start, end - start);
    made += "/" + (IsBpffs(made.empty() ? "/" : made) ? PinName(name) : name);
    const bool last = end == directory.size();
    if (!last && mkdir(made.c_str(), 0700) != 0 && errno != EEXIST) {
      return Status::Error("mkdir in bpffs", errno, made);
    }
    start = end + 1;
  }
  return made;
}

Result<UniqueFd> LockPinDirectory(const std::string& directory) {
  UniqueFd lock(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock.valid()) return Status::Error("open pin directory", errno, directory);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return Status::Error("flock pin directory", errno, directory);
    const long holder = LockHolder(lock.get());
    return Status::Error("lock pin directory", EBUSY,
                         directory + " belongs to a running agent" +
                             (holder > 0 ? ", process " + std::to_string(holder) : "") +
                             "; stop it first, or give this one another node name");
  }
  return lock;
}

Status MakePinDirectory(const std::string& directory) {
  if (mkdir(directory.c_str(), 0700) != 0) {
    return Status::Error("mkdir in bpffs", errno, directory);
  }
  return Status::Ok();
}

Status RenamePinDirectory(const std::string& from, const std::string& to) {
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) != 0) {
    return Status::Error("rename pin directory", errno, from + " to " + to);
  }
  return Status::Ok();
}

Result<std::vector<std::string>> ListPins(const std::string& directory) {
  std::vector<std::string> names;
  DIR* stream = opendir(directory.c_str());
  if (stream == nullptr) {
    if (errno == ENOENT) return names;
    return Status::Error("open pin directory", errno, directory);
  }
  errno = 0;
  while (const dirent* entry = readdir(stream)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  const int failed = errno;
  closedir(stream);
  if (failed != 0) return Status::Error("read pin directory", failed, directory);
  return names;
}

Status RemovePins(const std::string& path) {
  if (unlink(path.c_str()) == 0 || errno == ENOENT) return Status::Ok();
  if (errno == EISDIR || errno == EPERM) return RemoveTree(path);
  return Status::Error("unlink pin", errno, path);
}

Status PinObject(int fd, const std::string& path) {
  if (bpf_obj_pin(fd, path.c_str()) != 0) return Status::Error("pin", errno, path);
  return Status::Ok();
}

Result<UniqueFd> OpenPin(const std::string& path) {
  UniqueFd fd(bpf_obj_get(path.c_str()));
  if (!fd.valid()) return Status::Error("open pin", errno, path);
  return fd;
}

}  // namespace groundwire
