// SPDX-License-Identifier: Apache-2.0
#include "capture/capture_ports.h"

#include <fcntl.h>
#include <unistd.h>

#include <bitset>
#include <cerrno>
#include <charconv>
#include <string>
#include <string_view>
#include <system_error>

#include "base/unique_fd.h"

namespace groundwire {
namespace {

constexpr char kPath[] = "/proc/sys/net/ipv4/ip_local_reserved_ports";
constexpr size_t kPorts = 65536;
// Every second port, five digits and a comma each, and to spare. The kernel says all of it to the
// first read, or as much as fits: a second read gets nothing.
constexpr size_t kTextBytesMax = kPorts / 2 * 8;

using Ports = std::bitset<kPorts>;

void Set(Ports* ports, PortRange range, bool reserved) {
  for (size_t port = range.first; port <= range.last; ++port) ports->set(port, reserved);
}

/// "8080,9148-9150" as the kernel writes it.
bool Parse(std::string_view text, Ports* ports) {
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end && *at != '\n') {
    PortRange range;
    const auto first = std::from_chars(at, end, range.first);
    if (first.ec != std::errc()) return false;
    range.last = range.first;
    at = first.ptr;
    if (at != end && *at == '-') {
      const auto last = std::from_chars(at + 1, end, range.last);
      if (last.ec != std::errc()) return false;
      at = last.ptr;
    }
    Set(ports, range, true);
    if (at != end && *at == ',') ++at;
  }
  return true;
}

std::string Format(const Ports& ports) {
  std::string text;
  for (size_t port = 0; port < kPorts; ++port) {
    if (!ports[port]) continue;
    const size_t first = port;
    while (port + 1 < kPorts && ports[port + 1]) ++port;
    if (!text.empty()) text += ',';
    text += std::to_string(first);
    if (port != first) text += '-' + std::to_string(port);
  }
  return text + '\n';
}

Result<Ports> Read() {
  UniqueFd fd(open(kPath, O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return Status::Error("read sysctl", errno, kPath);
  std::string text(kTextBytesMax, '\0');
  const ssize_t count = read(fd.get(), text.data(), text.size());
  if (count < 0) return Status::Error("read sysctl", errno, kPath);
  text.resize(static_cast<size_t>(count));
  Ports ports;
  if (!Parse(text, &ports)) return Status::Error("parse sysctl", EINVAL, kPath);
  return ports;
}

Status Change(PortRange range, bool reserved) {
  auto ports = Read();
  if (!ports.ok()) return ports.status();
  Set(&ports.value(), range, reserved);
  const std::string text = Format(ports.value());
  UniqueFd fd(open(kPath, O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return Status::Error("write sysctl", errno, kPath);
  // The kernel takes a page at a time: the first replaces what was reserved, the others add to it.
  for (size_t written = 0; written < text.size();) {
    const ssize_t count = write(fd.get(), text.data() + written, text.size() - written);
    if (count <= 0) return Status::Error("write sysctl", count < 0 ? errno : EIO, kPath);
    written += static_cast<size_t>(count);
  }
  return Status::Ok();
}

}  // namespace

Result<bool> ArePortsReserved(PortRange range) {
  auto ports = Read();
  if (!ports.ok()) return ports.status();
  bool all = true;
  for (size_t port = range.first; port <= range.last; ++port) all = all && ports.value()[port];
  return all;
}

Status ReservePorts(PortRange range) { return Change(range, true); }

Status FreePorts(PortRange range) { return Change(range, false); }

}  // namespace groundwire
