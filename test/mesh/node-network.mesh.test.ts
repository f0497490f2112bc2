// SPDX-License-Identifier: Apache-2.0

// What an agent does to the network of a machine that forwarded nothing, whose routers it hears.

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Background, must, run, start, until } from '../../src/harness/shell.ts';
import { setSysctls } from '../../src/harness/two-nodes.ts';
import { WITHOUT_ROOT } from '../helpers/test-mesh.ts';

const GROUNDWIRE = fileURLToPath(new URL('../../bin/groundwire', import.meta.url));
const NODE = `network-${process.pid}`;
const SYSCTLS = ['ipv4/ip_forward', 'ipv6/conf/all/forwarding', 'ipv6/conf/uplink/accept_ra'];
const AS_FOUND = ['0', '0', '1'];

describe('the network of a machine with an agent', { skip: WITHOUT_ROOT }, () => {
  const place = mkdtempSync(join(tmpdir(), 'groundwire-network-'));
  let agent: Background | undefined;
  let starts = 0;
  const at = (name: string): string => join(place, name);
  // Not `ip netns exec`, which hides the cgroups.
  const inside = (...command: string[]): [string, ...string[]] => ['nsenter', `--net=/run/netns/${NODE}`, ...command];

  before(async () => {
    await must(['ip', 'netns', 'add', NODE]);
    await must(inside('ip', 'link', 'add', 'uplink', 'type', 'veth', 'peer', 'name', 'router'));
    await must(inside('ip', 'link', 'set', 'lo', 'up'));
    await setSysctls(NODE, Object.fromEntries(SYSCTLS.map((name, i) => [name, AS_FOUND[i] ?? ''])));
    await must([
      GROUNDWIRE,
      ...'control token --init --node'.split(' '),
      NODE,
      '--state-dir',
      at('ca'),
      '--out',
      at('token'),
    ]);
  });
  after(async () => {
    await agent?.stop();
    await run(['ip', 'netns', 'del', NODE]);
    if (readFileSync('/proc/mounts', 'utf8').includes(` ${at('bpffs')} `)) await must(['umount', at('bpffs')]);
    rmSync(place, { recursive: true, force: true });
  });

  const sysctls = async () =>
    (await must(inside('cat', ...SYSCTLS.map((name) => `/proc/sys/net/${name}`)))).trim().split('\n');

  async function startAgent(...flags: string[]) {
    const settings = {
      '--node': NODE,
      // Nobody listens there, and an agent starts all the same.
      '--control': '127.0.0.1:1',
      '--token-file': at('token'),
      '--pod-cidr': '10.217.10.0/24',
      '--run-dir': at('run'),
      '--state-dir': at('state'),
      '--bpffs': at('bpffs'),
      '--resolvers': '127.0.0.1',
    };
    const command = inside(GROUNDWIRE, 'agent', ...Object.entries(settings).flat(), ...flags);
    starts += 1;
    const started = start(command, at(`agent-${starts}.log`));
    agent = started;
    await until('the agent serves', () => {
      if (started.child.exitCode !== null) throw new Error(started.log());
      return started.log().includes('agent serves') ? true : undefined;
    });
    return started;
  }

  it('forwards for the pods that are made there, hears its routers still, and is as before at the end', async () => {
    const ours = await startAgent();
    assert.deepEqual(await sysctls(), ['1', '1', '2']);
    assert.equal(await ours.stop(), 0);
    assert.deepEqual(await sysctls(), AS_FOUND);
    assert.ok(!readdirSync(at('run')).includes(NODE));
  });

  it('is left alone where others make the pods', async () => {
    const ours = await startAgent('--pod-registry=false');
    assert.deepEqual(await sysctls(), AS_FOUND);
    // As a CNI does, sooner or later.
    await setSysctls(NODE, { 'ipv4/ip_forward': '1' });
    assert.equal(await ours.stop(), 0);
    assert.equal((await sysctls())[0], '1');
  });

  it('is as before, too, when one that forwarded was killed and the next leaves the pods to others', async () => {
    await setSysctls(NODE, { 'ipv4/ip_forward': '0' });
    await (await startAgent()).stop('SIGKILL');
    assert.deepEqual(await sysctls(), ['1', '1', '2']);
    const next = await startAgent('--pod-registry=false');
    assert.equal(await next.stop(), 0);
    assert.deepEqual(await sysctls(), AS_FOUND);
  });
});
