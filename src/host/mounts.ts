// SPDX-License-Identifier: Apache-2.0

import { readFileSync } from 'node:fs';

/** Where file systems of a type are mounted, in the mount namespace of this process and in the kernel's order. */
export function mountsOf(type: string): string[] {
  return parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'), type);
}

/** `mountsOf`, of a text in the format of /proc/PID/mountinfo. */
export function parseMounts(mountinfo: string, type: string): string[] {
  return mountinfo.split('\n').flatMap((line) => {
    // Any number of optional fields lies before the hyphen.
    const [mount = '', kind = ''] = line.split(' - ');
    const [, , , , point] = mount.split(' ');
    return point !== undefined && kind.startsWith(`${type} `) ? [unescape(point)] : [];
  });
}

// Space, tab, newline and backslash are written as three octal digits.
function unescape(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
