#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# first-command.sh DIRECTORY SUITE MIRROR       started by first-command.ts, in mount and process namespaces of its own
#
# Makes a root of Debian SUITE in DIRECTORY, moves into it, and takes the tour of a copy of this clone. APT_SETTINGS holds
# lines of apt.conf, NPM_SETTINGS variables for npm.
set -eu
directory=$1 suite=$2 mirror=$3
clone=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
say() { printf 'debian: %s\n' "$*" >&2; }

mount --make-rprivate /
# In memory: dpkg waits for the disk after each of the 500 packages, which takes minutes.
mount -t tmpfs -o mode=755,size=8g tmpfs "$directory"

say "making a root of $suite with Node and npm"
set --
while IFS= read -r setting; do
  [ -z "$setting" ] || set -- "$@" "--aptopt=$setting"
done <<SETTINGS
$APT_SETTINGS
SETTINGS
mmdebstrap --quiet --variant=minbase --include=nodejs,npm,ca-certificates --aptopt='Acquire::Languages "none"' "$@" \
  "$suite" "$directory" "$mirror"

mkdir "$directory/root/groundwire"
(cd "$clone" && git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -T - -cf -) |
  tar -xf - -C "$directory/root/groundwire"
# Names are looked up, and certificates trusted, as this machine does.
cat /etc/resolv.conf >"$directory/etc/resolv.conf"
cat /etc/ssl/certs/ca-certificates.crt >"$directory/etc/ssl/certs/ca-certificates.crt"

# ip netns needs / to be a mount of its own, which a plain chroot does not give.
mount --rbind /dev "$directory/dev"
mount --rbind /sys "$directory/sys"
mount -t proc proc "$directory/proc"
cd "$directory"
mkdir old
pivot_root . old
umount -l /old
rmdir /old

say "$(. /etc/os-release && echo "$PRETTY_NAME"), node $(node --version), npm $(npm --version): npm start -- --once"
cd /root/groundwire
# Unquoted on purpose: a list of settings.
exec env -i HOME=/root LANG=C.UTF-8 TERM=dumb PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  npm_config_cafile=/etc/ssl/certs/ca-certificates.crt $NPM_SETTINGS npm start -- --once
