// SPDX-License-Identifier: Apache-2.0

// A run directory without room: no pod starts, at once and with words, and nothing of it stays. And what an agent changed
// on its machine is put back, also when that agent was killed.

import assert from 'node:assert/strict';
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { claimMachine } from '../../src/harness/claim.ts';
import { type MeshNames, meshNames, sweep } from '../../src/harness/remains.ts';
import { type Background, must, run, start, until } from '../../src/harness/shell.ts';
import { GROUNDWIRE } from '../../src/harness/two-node-mesh.ts';
import { describeTwoNodes, onNode, setSysctls } from '../../src/harness/two-nodes.ts';
import { findCgroupRoot } from '../../src/node/cgroup.ts';
import { namespaceManifest, WITHOUT_ROOT } from '../helpers/test-mesh.ts';

const PAGE = 4096;
const NO_ROOM = /--run-dir \S+ cannot be written to: no space left on device.*; free space on that disk/;

describe('a run directory on a full disk', { skip: WITHOUT_ROOT }, () => {
  const node = describeTwoNodes('test', 76).a;
  const names: MeshNames = meshNames('test');
  const disk = join(names.directory, 'disk');
  const filling = join(disk, 'filling');
  const inside = ['--run-dir', join(disk, 'run'), '--node', node.name];
  const readForwarding = () => must(onNode(node, ['cat', '/proc/sys/net/ipv4/ip_forward']));
  let release: () => void;
  let up: Background;

  before(async () => {
    const claim = await claimMachine('test');
    release = () => claim.release();
    await run(['umount', disk]);
    await sweep(names);
    const manifests = join(names.directory, 'manifests');
    mkdirSync(manifests, { recursive: true });
    mkdirSync(disk);
    writeFileSync(join(manifests, 'shop.yaml'), namespaceManifest('shop', true));
    await must(['mount', '-t', 'tmpfs', '-o', 'size=256k', 'groundwire-test', disk]);
    await must(['ip', 'netns', 'add', node.netns]);
    await must(['ip', '-n', node.netns, 'link', 'set', 'lo', 'up']);
    await must(['ip', '-n', node.netns, 'address', 'add', `${node.address}/32`, 'dev', 'lo']);
    await setSysctls(node.netns, { 'ipv4.ip_forward': '0' });
    await startUp();
  });
  after(async () => {
    await up.stop();
    await must(['umount', disk]);
    const left = await sweep(names);
    release();
    assert.deepEqual(left, []);
  });

  const startUp = async () => {
    const state = join(names.directory, 'state');
    const manifests = join(names.directory, 'manifests');
    const command = [GROUNDWIRE, 'up', ...inside, '--manifests', manifests, '--state-dir', state];
    up = start(onNode(node, command), join(names.directory, 'up.log'));
    await until('it is ready', async () => {
      if (up.child.exitCode !== null) throw new Error(up.log());
      return (await run([GROUNDWIRE, 'status', ...inside])).code === 0 ? true : undefined;
    });
  };
  const startPod = () => run([GROUNDWIRE, 'run', ...inside, '--namespace', 'shop', '--name', 'web', '--', 'true']);
  const problems = async () => {
    const { stdout } = await run([GROUNDWIRE, 'status', ...inside, '-o', 'json']);
    return (JSON.parse(stdout) as { problems: string[] }).problems.join('\n');
  };
  const failedWrites = async () => {
    const text = await must(onNode(node, ['curl', '-sS', 'http://127.0.0.1:15020/metrics']));
    return Number(/^groundwire_agent_total\{name="pod_files_write_failures"\} (\d+)$/m.exec(text)?.[1]);
  };
  /** Writes until nothing more goes in, and takes that many pages back. */
  const fill = (free: number) => {
    writeFileSync(filling, '');
    for (;;) {
      try {
        appendFileSync(filling, Buffer.alloc(PAGE));
      } catch {
        break;
      }
    }
    truncateSync(filling, statSync(filling).size - free * PAGE);
  };

  // The first write of a pod's file fails; or it works, and the one before the capture, beside it, does not.
  for (const free of [0, 1]) {
    it(`refuses a pod at once where ${free} pages are free, tells of it, and leaves nothing`, async () => {
      const before = await failedWrites();
      fill(free);
      const begun = performance.now();
      const outcome = await startPod();
      assert.match(outcome.stderr, /pod shop\/web was not started: /);
      assert.match(outcome.stderr, NO_ROOM);
      assert.equal(outcome.code, 69, outcome.stderr);
      // The bounds for a decision and a capture are 30 s each.
      assert.ok(performance.now() - begun < 25_000, 'it did not wait for a bound');
      assert.ok((await failedWrites()) > before);
      assert.match(await problems(), /no pod can be started: .*no space left on device/);

      assert.deepEqual(
        readdirSync('/run/netns').filter((name) => name.startsWith(`gw-${node.name}-`)),
        [],
      );
      assert.deepEqual(
        readdirSync('/etc/netns').filter((name) => name.startsWith(`gw-${node.name}-`)),
        [],
      );
      assert.deepEqual(await must(['ip', '-n', node.netns, '-br', 'link', 'show', 'type', 'veth']), '');
      const pods = join(findCgroupRoot(), 'groundwire', node.name, 'pods');
      assert.deepEqual(
        readdirSync(pods, { withFileTypes: true }).filter((entry) => entry.isDirectory()),
        [],
      );
      assert.deepEqual(readdirSync(join(disk, 'run', node.name, 'pods')), []);
    });

    it(`starts pods again once there is room, and the problem goes by itself`, async () => {
      rmSync(filling);
      await until('the problem is gone', async () => (/no pod can/.test(await problems()) ? undefined : true));
      const outcome = await startPod();
      assert.equal(outcome.code, 0, outcome.stderr);
    });
  }

  it('puts back what it changed on the machine, also for one that was killed', async () => {
    assert.equal((await readForwarding()).trim(), '1');
    up.child.kill('SIGKILL');
    await up.ended;
    assert.equal((await readForwarding()).trim(), '1');
    await startUp();
    await up.stop();
    assert.equal((await readForwarding()).trim(), '0');
  });

  it('does not start, and changes nothing, where it could not remember what it changed', async () => {
    fill(0);
    const state = join(names.directory, 'state');
    const manifests = join(names.directory, 'manifests');
    const second = await run(
      onNode(node, [GROUNDWIRE, 'up', ...inside, '--manifests', manifests, '--state-dir', state]),
    );
    assert.match(second.stderr, NO_ROOM);
    assert.equal(second.code, 74, second.stderr);
    assert.equal((await readForwarding()).trim(), '0');
    assert.deepEqual(readdirSync(join(disk, 'run')), []);
    rmSync(filling);
    assert.doesNotMatch(readFileSync(up.logFile, 'utf8'), /not closed/);
  });
});
