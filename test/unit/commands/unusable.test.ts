// SPDX-License-Identifier: Apache-2.0

// What settings name and is not there, is something else or may not be used: each failure says what it is about, where
// that is and what to do. What needs a running engine is in test/mesh/unusable.mesh.test.ts.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { openUpstream } from '#src/agent/upstream.ts';
import type { CommandIo } from '#src/commands/command.ts';
import { command as controlToken } from '#src/commands/control-token.ts';
import { CliError, EXIT } from '#src/commands/exit-code.ts';
import { explainFailure } from '#src/commands/service.ts';
import { loadConfig } from '#src/config/load.ts';
import { makeNamedDirectory } from '#src/config/paths.ts';
import { SettingError } from '#src/config/setting-error.ts';
import { findBpfDirectory } from '#src/dialogue/engine-options.ts';
import { systemClock } from '#src/model/clock.ts';
import { requireCgroup } from '#src/node/cgroup.ts';
import { Logger } from '#src/telemetry/logger.ts';

const LOG = { level: 'error', format: 'text', nowMs: () => 0, linesMax: 100 } as const;
const GROUNDWIRE = fileURLToPath(new URL('../../../bin/groundwire', import.meta.url));

const place = mkdtempSync(join(tmpdir(), 'groundwire-unusable-'));
after(() => rmSync(place, { recursive: true, force: true }));
const at = (name: string): string => join(place, name);
const tooLong = at('a'.repeat(120));

function groundwire(...args: string[]) {
  return spawnSync(GROUNDWIRE, args, { encoding: 'utf8', timeout: 60_000 });
}

writeFileSync(at('file'), 'no certificate\n');
mkdirSync(at('empty'));
const made = groundwire('control', 'token', '--node', 'a', '--state-dir', at('state'), '--init');
const root = /-----BEGIN[^]*END CERTIFICATE-----\n/.exec(made.stdout)?.[0] ?? '';
const token = made.stdout.slice(root.length);
writeFileSync(at('token'), made.stdout);
writeFileSync(at('jwt'), token);
writeFileSync(at('two-lines'), `${made.stdout}one more\n`);
writeFileSync(at('roots-only'), root);
writeFileSync(at('damaged-root'), root.replace(/\n.{20}/, '\n'));

/** Each with its status and what its one line says. */
const COMMANDS: readonly (readonly [args: readonly string[], status: number, says: RegExp])[] = [
  [['status', '--run-dir', at('nothing')], 69, /no agent runs on this machine \(looked in .*nothing\); start one with/],
  [['status', '--run-dir', at('file')], 64, /\/file is no directory; name that of the agents with --run-dir/],
  [['status', '--socket', at('nothing')], 69, /\/nothing does not exist; start one with/],
  [['status', '--socket', at('file')], 64, /\/file is no socket; name that of an agent with --socket/],
  [['status', '--socket', at('empty')], 64, /\/empty is no socket; name that of an agent with --socket/],
  [['status', '--socket', at('file/below')], 69, /\/file\/below cannot be asked: not a directory; name .* --socket/],
  [['status', '--socket', tooLong], 69, /a{120} cannot be asked: invalid argument; name .* --socket/],
  [
    ['control', 'token', '--node', 'a', '--state-dir', at('state'), '--ttl', '91d'],
    64,
    /--ttl 91d is longer than --token-line-max 90d: give less, since .*; or give that of the control plane, if it is more/,
  ],
  [['control', 'token', '--node', 'a', '--state-dir', at('nothing')], 66, /\/nothing is not the state directory of a/],
  [
    ['control', 'token', '--node', 'a', '--state-dir', at('file/below'), '--init'],
    74,
    /--state-dir \S+\/below cannot be made: file already exists \(\S+\/file\); name a directory that/,
  ],
  [
    ['control', 'token', '--node', 'a', '--state-dir', '/proc/groundwire', '--init'],
    74,
    /--state-dir \/proc\/groundwire cannot be made: no such file or directory; name a directory that/,
  ],
];

test('control: an address that cannot be listened on, by the service and by its monitoring', async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const busy = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  mkdirSync(at('manifests'));
  writeFileSync(at('manifests/a.yaml'), 'apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n');
  for (const [flag, value, status, reason] of [
    ['listen', busy, EXIT.busy, 'address already in use'],
    ['listen', '192.0.2.77:15012', EXIT.usage, 'address not available'],
    ['monitoring-listen', busy, EXIT.busy, 'address already in use'],
  ] as const) {
    const addresses = { listen: '127.0.0.1:0', 'monitoring-listen': '127.0.0.1:0', [flag]: value };
    const flags = Object.entries(addresses).flatMap(([name, address]) => [`--${name}`, address]);
    const said = groundwire('control', '--manifests', at('manifests'), '--state-dir', at('control'), ...flags);
    const [last] = said.stderr.trimEnd().split('\n').slice(-1);
    const advice = 'name a free port on an address of this machine (`ip address`); `ss -ltnp` says who has a port';
    assert.equal(last, `groundwire: --${flag} ${value} cannot be listened on: ${reason}; ${advice}`);
    assert.equal(said.status, status);
    assert.doesNotMatch(said.stderr, /^E |EADDR| at .*\.[jt]s/m, 'no words of gRPC or Node');
  }
});

const isRoot = process.getuid?.() === 0;

test('control, up: a state directory on a disk without room', { skip: !isRoot && 'mounting needs root' }, () => {
  const [disk, manifests] = [at('disk'), at('disk-manifests')];
  mkdirSync(disk);
  mkdirSync(manifests);
  writeFileSync(join(manifests, 'a.yaml'), 'apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n');
  const flags = ['--manifests', manifests, '--state-dir', disk];
  const ports = ['--listen', '127.0.0.1:0', '--monitoring-listen', '127.0.0.1:0'];
  // Without room at all, and with room for the lock alone.
  for (const pages of [1, 2]) {
    for (const command of ['control', 'up']) {
      const fill = `mount -t tmpfs -o size=${pages * 4}k none ${disk} && head -c 4096 /dev/zero >${disk}/full && exec "$@"`;
      const words = ['--mount', 'sh', '-c', fill, 'sh', GROUNDWIRE, command, ...flags, ...ports];
      const said = spawnSync('unshare', words, { encoding: 'utf8', timeout: 60_000 });
      const [last] = said.stderr.trimEnd().split('\n').slice(-1);
      const what = `--state-dir ${disk} cannot be written to: no space left on device`;
      assert.equal(last, `groundwire: ${what}; free space on that disk`);
      assert.equal(said.status, EXIT.file);
    }
  }
});

test('control token --out: for its owner alone, replaces a join file, and nothing else', () => {
  const out = (path: string) =>
    groundwire('control', 'token', '--node', 'a', '--state-dir', at('state'), '--out', path);
  const path = at('out.token');
  // Also where the file was open to all before.
  for (const text of [undefined, '', made.stdout]) {
    if (text !== undefined) {
      writeFileSync(path, text);
      chmodSync(path, 0o644);
    }
    const said = out(path);
    assert.equal(said.status, 0, said.stderr);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.match(readFileSync(path, 'utf8'), /^-----BEGIN CERTIFICATE-----\n[^]+\n[\w-]+\.[\w-]+\.[\w-]+\n$/);
    assert.doesNotMatch(said.stdout, /BEGIN|\w\.\w+\./, 'the secret is not on the terminal');
  }
  for (const [name, says] of [
    ['file', /--out \S+\/file cannot be written: it is there already and no join file; name a file that is not/],
    ['jwt', /it is there already and no join file/],
    ['empty', /it is there already and no join file/],
    ['nothing/token', /--out \S+\/token cannot be written: no such file or directory \(\S+\/nothing\); name a file/],
  ] as const) {
    const said = out(at(name));
    assert.match(said.stderr, says);
    assert.notEqual(said.status, 0);
  }
  assert.equal(readFileSync(at('file'), 'utf8'), 'no certificate\n');
});

test('control token: a bound of the control plane that is not the default is given to it, too', () => {
  const flags = ['--node', 'a', '--state-dir', at('state'), '--ttl', '200d', '--token-line-max'];
  assert.equal(groundwire('control', 'token', ...flags, '200d').status, EXIT.ok);
  assert.equal(groundwire('control', 'token', ...flags, '199d').status, EXIT.usage);
});

for (const [args, status, says] of COMMANDS) {
  test(`groundwire ${args.join(' ').replaceAll(`${place}/`, '')}`, () => {
    const said = groundwire(...args);
    assert.match(said.stderr, says);
    assert.equal(said.status, status, said.stderr);
    assert.equal(said.stderr.trimEnd().split('\n').length, 1, said.stderr);
  });
}

const AGENT_FILES: readonly (readonly [flags: readonly string[], exitCode: number, says: RegExp])[] = [
  [
    ['--token-file', at('nothing')],
    EXIT.file,
    /^--token-file \S+\/nothing cannot be read: no such file or directory; make one with `groundwire control token/,
  ],
  [
    ['--token-file', at('empty')],
    EXIT.file,
    /^--token-file \S+\/empty cannot be read: illegal operation on a directory/,
  ],
  [
    ['--token-file', at('file')],
    EXIT.config,
    /^--token-file \S+\/file cannot be used: it is damaged: .*; make one with/,
  ],
  [
    ['--token-file', at('two-lines')],
    EXIT.config,
    /cannot be used: it is damaged: after the certificates .*; make one/,
  ],
  [['--token-file', at('roots-only')], EXIT.config, /cannot be used: it has no token line; make one with/],
  [['--token-file', at('jwt')], EXIT.config, /it holds no root certificate; name the control plane's with --root-cert/],
  [
    ['--token-file', at('jwt'), '--root-cert', at('nothing')],
    EXIT.file,
    /^--root-cert \S+\/nothing cannot be read: no such file or directory; name a file with the PEM certificates/,
  ],
  [
    ['--token-file', at('jwt'), '--root-cert', at('file')],
    EXIT.config,
    /^--root-cert \S+\/file cannot be used: it holds no PEM certificate; name a file/,
  ],
  [
    ['--token-file', at('jwt'), '--root-cert', at('damaged-root')],
    EXIT.config,
    /^--root-cert \S+ cannot be used: certificate 1 of 1 in it is damaged; name a file/,
  ],
];
for (const [flags, exitCode, says] of AGENT_FILES) {
  test(`agent ${flags.join(' ').replaceAll(`${place}/`, '')}`, () => {
    const upstream = ['--control', '127.0.0.1:1', '--state-dir', at('state')];
    const loaded = loadConfig(['node', 'state', 'upstream', 'mesh'], [...upstream, ...flags], new Map());
    assert.ok('config' in loaded);
    assert.throws(
      () => {
        try {
          openUpstream(loaded.config, systemClock, Logger.open(process.stderr, LOG));
        } catch (error) {
          explainFailure(error);
        }
      },
      refusal(exitCode, says),
    );
  });
}

test('a cgroup that is none, and eBPF objects that are not there, are named by their setting', async () => {
  await assert.rejects(
    requireCgroup('cgroup-root', at('nothing')),
    /^SettingError: --cgroup-root \S+\/nothing cannot be used: no such/,
  );
  await assert.rejects(
    requireCgroup('probe-cgroup', at('empty')),
    /--probe-cgroup \S+ cannot be used: it is no cgroup v2; name a/,
  );
  const kernel = { bpfDirectory: at('empty'), bpffs: '/sys/fs/bpf', cgroupRoot: undefined };
  assert.throws(
    () => findBpfDirectory(kernel),
    /--bpf-dir \S+\/empty cannot be used: there are no compiled eBPF objects; build/,
  );
});

test('doctor tells of each place in words, and of all at once', () => {
  const flags = ['--cgroup-root', at('empty'), '--bpf-dir', at('empty'), '--bpffs', at('file')];
  const { status, stdout } = groundwire('doctor', '-o', 'json', ...flags);
  assert.equal(status, 1);
  const features = JSON.parse(stdout) as { name: string; present: boolean; detail: string; remedy: string }[];
  for (const [name, says] of [
    ['cgroup v2', /--cgroup-root \S+ cannot be used: it is no cgroup v2/],
    ['eBPF objects', /--bpf-dir \S+ cannot be used: there are no compiled/],
    ['bpffs', /--bpffs \S+\/file cannot be made: file already exists/],
  ] as const) {
    const found = features.filter((feature) => feature.name === name);
    assert.equal(found.length, 1, name);
    assert.match(found[0]?.detail ?? '', says);
    assert.ok(found[0]?.present === false && found[0].remedy !== '', name);
  }
});

test('what may not be used is told with its path and who may: 77', async () => {
  const secret = at('secret');
  mkdirSync(secret);
  writeFileSync(join(secret, 'root.key'), readFileSync(at('token')));
  chmodSync(secret, 0o000);
  chmodSync(place, 0o755);
  const loaded = loadConfig(controlToken.parts, ['--node', 'a', '--state-dir', secret], new Map());
  assert.ok('config' in loaded);
  const io = {} as CommandIo;
  const words = { positionals: [], rest: [] };
  await withoutPrivilege(() =>
    assert.rejects(
      controlToken.run(loaded.config, words, io),
      refusal(
        EXIT.permission,
        /^--state-dir \S+\/secret cannot be used: permission denied \(\S+root\.key\); run this as root or as the user who/,
      ),
    ),
  );
  await withoutPrivilege(async () => {
    assert.throws(() => makeNamedDirectory('run-dir', secret, join(secret, 'a')), SettingError);
  });
  chmodSync(secret, 0o700);
});

/** Root may read everything; as nobody the test is one. */
async function withoutPrivilege(run: () => Promise<void>): Promise<void> {
  const isRoot = process.getuid?.() === 0;
  if (isRoot) process.seteuid?.(65_534);
  try {
    await run();
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
}

function refusal(exitCode: number, says: RegExp): (thrown: unknown) => true {
  return (thrown) => {
    assert.ok(thrown instanceof CliError, String(thrown));
    assert.match(thrown.message, says);
    assert.equal(thrown.exitCode, exitCode);
    return true;
  };
}
