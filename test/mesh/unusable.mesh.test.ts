// SPDX-License-Identifier: Apache-2.0

// An agent whose settings name what is not there: it says what, where and what to do, and leaves nothing behind.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { tryBpffs } from '../../src/node/bpffs.ts';
import { findCgroupRoot } from '../../src/node/cgroup.ts';
import { WITHOUT_ROOT } from '../helpers/test-mesh.ts';

const GROUNDWIRE = fileURLToPath(new URL('../../bin/groundwire', import.meta.url));
const NODE = `unusable-${process.pid}`;

const place = mkdtempSync(join(tmpdir(), 'groundwire-unusable-'));
const at = (name: string): string => join(place, name);
const ours: Readonly<Record<string, string>> = {
  '--node': NODE,
  // Nobody listens there, and an agent starts all the same.
  '--control': '127.0.0.1:1',
  '--token-file': at('token'),
  '--run-dir': at('run'),
  '--state-dir': at('state'),
  '--bpffs': at('bpffs'),
  '--pod-cidr': '10.217.9.0/24',
  '--api-listen': '127.0.0.1:0',
  '--ready-listen': '127.0.0.1:0',
  '--metrics-listen': '127.0.0.1:0',
};

function agent(flags: Readonly<Record<string, string>>, under: readonly string[] = []) {
  const [program = '', ...args] = [...under, GROUNDWIRE, 'agent', ...Object.entries({ ...ours, ...flags }).flat()];
  return spawnSync(program, args, {
    encoding: 'utf8',
    timeout: 60_000,
  });
}

const CASES: readonly (readonly [flag: string, value: () => string, status: number, says: RegExp])[] = [
  ['--run-dir', () => at('file'), 74, /--run-dir \S+\/file cannot be made: file already exists.*; name a directory/],
  ['--run-dir', () => at('r'.repeat(90)), 78, /--run-dir \S+ cannot be used: the path of the socket in it.*; choose a/],
  ['--bpffs', () => at('file'), 74, /--bpffs \S+\/file cannot be made: file already exists; name a directory/],
  ['--cgroup-root', () => at('none'), 74, /--cgroup-root \S+ cannot be used: no such file.*; name a directory of/],
  ['--cgroup-root', () => at('empty'), 78, /--cgroup-root \S+ cannot be used: it is no cgroup v2; name a directory of/],
  ['--probe-cgroup', () => at('empty'), 78, /--probe-cgroup \S+ cannot be used: it is no cgroup v2; name a/],
  ['--bpf-dir', () => at('none'), 78, /--bpf-dir \S+ cannot be used: there are no compiled eBPF objects; build/],
  ['--api-listen', () => busy, 75, /--api-listen \S+ cannot be listened on: address already in use; name a free port/],
  [
    '--metrics-listen',
    () => '203.0.113.9:25020',
    64,
    /--metrics-listen 203\.0\.113\.9:25020 cannot be listened on: address not available; name a free port on an/,
  ],
  [
    '--ready-listen',
    () => 'nowhere.invalid:1',
    64,
    /--ready-listen nowhere\.invalid:1 cannot be listened on: .*; name/,
  ],
];

after(() => rmSync(place, { recursive: true, force: true }));

let server: Server;
let busy = '';

describe('an agent whose settings name what is not there', { skip: WITHOUT_ROOT }, () => {
  before(async () => {
    mkdirSync(at('empty'));
    writeFileSync(at('file'), '');
    const token = ['control', 'token', '--node', NODE, '--state-dir', at('authority'), '--init', '--out', at('token')];
    assert.equal(spawnSync(GROUNDWIRE, token).status, 0);
    server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    busy = `127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  });
  after(() => {
    server.close();
    if (isMounted(at('bpffs'))) spawnSync('umount', [at('bpffs')]);
  });

  for (const [flag, value, status, says] of CASES) {
    it(`${flag} is told, and nothing stays: ${says.source.slice(0, 60)}`, async () => {
      const said = agent({ [flag]: value() });
      const lines = said.stderr.split('\n').filter((line) => line.startsWith('groundwire: '));
      assert.equal(lines.length, 1, said.stderr);
      assert.match(lines[0] ?? '', says);
      assert.equal(said.status, status, said.stderr);
      assert.doesNotMatch(said.stderr, /not closed/);
      assert.ok(!existsSync(join(at('run'), NODE)) && !existsSync(at('none')));
      assert.deepEqual(readdirSync(at('empty')), []);
      assert.ok(!existsSync(join(findCgroupRoot(), 'groundwire', NODE)));
    });
  }
});

describe('an agent that the kernel does not let work', { skip: WITHOUT_ROOT }, () => {
  it('says what is missing and what to do, and leaves nothing', async () => {
    const token = ['control', 'token', '--node', NODE, '--state-dir', at('authority'), '--init', '--out', at('token')];
    spawnSync(GROUNDWIRE, token);
    const bpffs = at('withheld');
    mkdirSync(bpffs);
    assert.equal(spawnSync('mount', ['-t', 'bpf', 'bpf', bpffs]).status, 0);
    try {
      // As in a container that is not privileged.
      const said = agent({ '--bpffs': bpffs }, ['setpriv', '--bounding-set=-sys_admin,-bpf,-perfmon']);
      assert.equal(said.status, 71, said.stderr);
      assert.match(said.stderr, /could not be started, this kernel or container lacks what it needs: .*not permitted/);
      assert.match(said.stderr, /^ {2}sk_lookup: load an sk_lookup program: bpf_prog_load: Operation not permitted/m);
      assert.match(said.stderr, /^privileges, .*: run as root, or with CAP_BPF, .*; in a container also privileged/m);
      assert.doesNotMatch(said.stderr, /not closed/);
      assert.ok(!existsSync(join(at('run'), NODE)));
      assert.ok(!existsSync(join(bpffs, 'groundwire')));
      assert.ok(!existsSync(join(findCgroupRoot(), 'groundwire', NODE)));
    } finally {
      spawnSync('umount', [bpffs]);
    }
  });
});

describe('what doctor says of --bpffs', { skip: WITHOUT_ROOT }, () => {
  const mounts = () => readFileSync('/proc/self/mountinfo', 'utf8').split('\n').length;
  const before = mounts();

  it('a directory that is not there would be made and mounted; trying leaves neither', async () => {
    assert.match(await tryBpffs(at('new/bpffs')), /new\/bpffs is not there; an agent makes it and mounts it there/);
    assert.ok(!existsSync(at('new')));
    mkdirSync(at('new'));
    assert.match(await tryBpffs(at('new')), /an agent mounts it at \S+\/new$/);
    assert.equal(mounts(), before);
  });

  it('what an agent could not mount is missing, and told as the agent would', async () => {
    for (const [path, says] of [
      ['/proc/groundwire', /--bpffs \/proc\/groundwire cannot be made: no such file or directory; name a directory/],
      ['/sys/kernel', /--bpffs \/sys\/kernel cannot be mounted: it is no BPF file system, and not empty; mount a/],
      [at('token'), /--bpffs \S+\/token cannot be made: file already exists; name a directory/],
    ] as const) {
      await assert.rejects(tryBpffs(path), says);
    }
    assert.equal(mounts(), before);
  });
});

function isMounted(path: string): boolean {
  return readFileSync('/proc/mounts', 'utf8').includes(` ${path} `);
}
