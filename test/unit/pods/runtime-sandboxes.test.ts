// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { findRuntimeSandboxes, ownsAddresses } from '#src/pods/runtime-sandboxes.ts';

const UID = '19bd1bd4-a701-495f-87e0-4f30b615da43';
const OTHER = '3bc76bd7-ea9f-4e65-99a9-ac6ea6b1b912';

/** A /proc with these processes. */
function proc(t: TestContext, processes: Readonly<Record<number, { cgroup: string; startTicks: number }>>): string {
  const root = mkdtempSync(join(tmpdir(), 'groundwire-'));
  t.after(() => rmSync(root, { recursive: true }));
  for (const [pid, { cgroup, startTicks }] of Object.entries(processes)) {
    mkdirSync(join(root, pid, 'net'), { recursive: true });
    writeFileSync(join(root, pid, 'cgroup'), cgroup);
    writeFileSync(join(root, pid, 'stat'), `${pid} (a (b) c) S ${'0 '.repeat(18)}${startTicks} 0\n`);
  }
  mkdirSync(join(root, 'sys'));
  return root;
}

test('runtime sandboxes: found by the uid in the cgroup, whatever driver and version, the oldest process of each', async (t) => {
  const systemd = `0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${OTHER.replaceAll('-', '_')}.slice/cri-containerd-abc.scope\n`;
  const root = proc(t, {
    10: { cgroup: `4:memory:/kubepods/burstable/pod${UID}/c1\n0::/\n`, startTicks: 300 },
    11: { cgroup: `0::/kubepods/pod${UID}/pause\n`, startTicks: 200 },
    12: { cgroup: systemd, startTicks: 100 },
    13: { cgroup: '0::/system.slice/sshd.service\n', startTicks: 1 },
    14: { cgroup: `0::/user.slice/pod${UID}x/y\n`, startTicks: 1 },
  });
  const found = await findRuntimeSandboxes(root);
  assert.deepEqual([...found.keys()].sort(), [UID, OTHER].sort());
  assert.deepEqual(found.get(UID), {
    holder: { pid: 11, startTicks: 200 },
    netnsPath: join(root, '11/ns/net'),
  });
  assert.equal(found.get(OTHER)?.holder.pid, 12);
});

const FIB_TRIE = `Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 10.201.1.0
        /24 link UNICAST
     |-- 10.201.1.2
        /32 host LOCAL
     |-- 10.201.1.255
        /32 link BROADCAST
     |-- 127.0.0.1
        /32 host LOCAL
`;
const IF_INET6 = 'fd0000000000000000000000000000a1 02 40 00 80     eth0\n';

test("runtime sandboxes: an address is the namespace's own when it is local there, and not when it is only near", async (t) => {
  const root = proc(t, { 10: { cgroup: '', startTicks: 1 } });
  writeFileSync(join(root, '10/net/fib_trie'), FIB_TRIE);
  writeFileSync(join(root, '10/net/if_inet6'), IF_INET6);
  const cases: readonly (readonly [string[], boolean])[] = [
    [['10.201.1.2'], true],
    [['10.201.1.2', 'fd00::a1'], true],
    [['10.201.1.3'], false],
    [['10.201.1.255'], false],
    [['10.201.1.0'], false],
    [['10.201.1.2', 'fd00::a2'], false],
  ];
  for (const [addresses, owns] of cases)
    assert.equal(await ownsAddresses(10, addresses, root), owns, String(addresses));
  // A process that has ended owns nothing.
  assert.equal(await ownsAddresses(99, ['10.201.1.2'], root), false);
});
