// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { isServiceLink } from '#src/config/env.ts';
import { loadConfig } from '#src/config/load.ts';
import { variableOf } from '#src/config/setting.ts';
import { PART_NAMES, settingsOf } from '#src/config/table.ts';

const NONE: ReadonlyMap<string, string> = new Map();

function load(argv: readonly string[], variables = NONE) {
  const loaded = loadConfig(['directory', 'control', 'mesh', 'log'], argv, variables);
  assert.ok('config' in loaded, JSON.stringify(loaded));
  return loaded.config;
}

function problems(argv: readonly string[], variables = NONE) {
  const loaded = loadConfig(['directory', 'control', 'mesh', 'log'], argv, variables);
  assert.ok(!('config' in loaded));
  return loaded.map(({ name, reason }) => `${name} ${reason}`);
}

test('loadConfig: a flag goes before its variable, a variable before the default', () => {
  const variables = new Map([
    ['GROUNDWIRE_TRUST_DOMAIN', 'variable.example'],
    ['GROUNDWIRE_LOG_LEVEL', 'warn'],
  ]);
  const config = load(['--manifests', '/m', '--trust-domain', 'flag.example'], variables);
  assert.equal(config.mesh.trustDomain, 'flag.example');
  assert.equal(config.log.level, 'warn');
  assert.equal(config.log.format, 'text');
});

test('loadConfig: durations and sizes become numbers, and a number without a unit is refused', () => {
  assert.equal(load(['--manifests', '/m', '--certificate-ttl=90m']).mesh.certificateTtlMs, 5_400_000);
  assert.match(
    problems(['--manifests', '/m', '--certificate-ttl', '90'])[0] ?? '',
    /needs one of the units ms, s, m, h, d/,
  );
});

test('loadConfig: every problem is reported, not only the first', () => {
  const found = problems(['--log-level', 'loud', '--listen', 'nowhere', '--certificate-ttl', '1ms', '--log-lvel', 'x']);
  assert.equal(found.length, 5);
  assert.match(found.join('\n'), /--log-lvel is not an option of this command; did you mean --log-level\?/);
  assert.match(found.join('\n'), /--log-level "loud" is none of error \| warn \| info \| debug/);
  assert.match(found.join('\n'), /--certificate-ttl "1ms" is out of range \(2s to 90d\)/);
  assert.match(found.join('\n'), /--listen "nowhere" is not HOST:PORT/);
  assert.match(found.join('\n'), /--manifests DIR is needed \(or GROUNDWIRE_MANIFESTS\)/);
});

test('loadConfig: an unknown variable of ours is a mistake, one of another command is not', () => {
  const found = problems(['--manifests', '/m'], new Map([['GROUNDWIRE_TRUST_DOMAN', 'x']]));
  assert.deepEqual(found, [
    'GROUNDWIRE_TRUST_DOMAN is not a variable of groundwire; did you mean GROUNDWIRE_TRUST_DOMAIN?',
  ]);
  load(['--manifests', '/m'], new Map([['GROUNDWIRE_POD_CIDR', '10.0.0.0/24']]));
});

// As kubelet makes them for the Services groundwire (with a named port) and groundwire-control.
const SERVICE_LINKS = {
  GROUNDWIRE_SERVICE_HOST: '10.96.0.9',
  GROUNDWIRE_SERVICE_PORT: '15012',
  GROUNDWIRE_SERVICE_PORT_GRPC_XDS: '15012',
  GROUNDWIRE_PORT: 'tcp://10.96.0.9:15012',
  GROUNDWIRE_PORT_15012_TCP: 'tcp://10.96.0.9:15012',
  GROUNDWIRE_PORT_15012_TCP_PROTO: 'tcp',
  GROUNDWIRE_PORT_15012_TCP_PORT: '15012',
  GROUNDWIRE_PORT_15012_TCP_ADDR: '10.96.0.9',
  GROUNDWIRE_CONTROL_SERVICE_HOST: 'fd00::9',
  GROUNDWIRE_CONTROL_SERVICE_PORT: '53',
  GROUNDWIRE_CONTROL_PORT: 'udp://[fd00::9]:53',
  GROUNDWIRE_CONTROL_PORT_53_UDP: 'udp://[fd00::9]:53',
  GROUNDWIRE_CONTROL_PORT_53_UDP_ADDR: 'fd00::9',
};

test('loadConfig: variables that Kubernetes makes for a Service named groundwire are left alone', () => {
  const variables = { ...SERVICE_LINKS, GROUNDWIRE_LISTEN: '127.0.0.1:7' };
  const config = load(['--manifests', '/m'], new Map(Object.entries(variables)));
  assert.deepEqual(config.control.listen, { host: '127.0.0.1', port: 7 });
});

test('loadConfig: what looks like a Service but cannot be one is a mistake', () => {
  const mistakes = ['GROUNDWIRE_PORT', 'GROUNDWIRE_API_PORT', 'GROUNDWIRE_SERVICE', 'GROUNDWIRE_PORT_TCP'];
  const found = problems(['--manifests', '/m'], new Map(mistakes.map((name) => [name, '15012'])));
  for (const name of mistakes)
    assert.ok(
      found.some((one) => one.startsWith(`${name} is not a variable`)),
      name,
    );
});

test('no variable of ours has the name of one that tells where a Service is', () => {
  for (const setting of PART_NAMES.flatMap((part) => [...settingsOf(part).values()]))
    if (setting.flagOnly !== true) assert.ok(!isServiceLink(variableOf(setting.flag), 'tcp://x'), setting.flag);
});

test('loadConfig: lists are joined from repeated flags and commas, other flags may stand once', () => {
  const config = load(['--manifests', '/m', '--cluster-cidr', '10.1.0.0/16', '--cluster-cidr', 'fd00:1::/48']);
  assert.deepEqual(config.control.clusterCidrs, ['10.1.0.0/16', 'fd00:1::/48']);
  assert.deepEqual(problems(['--manifests', '/m', '--manifests', '/n']), ['--manifests is given 2 times']);
});

test('loadConfig: what stands after -- is left alone', () => {
  const notes = ['--annotation', 'a=b=c', '--annotation', 'd=e,f'];
  const loaded = loadConfig(['run'], ['--name', 'web', ...notes, '--', 'sh', '-c', '--name'], NONE);
  assert.ok('config' in loaded);
  assert.deepEqual(loaded.rest, ['sh', '-c', '--name']);
  assert.deepEqual(
    [...loaded.config.run.annotations],
    [
      ['a', 'b=c'],
      ['d', 'e,f'],
    ],
  );
});

test('loadConfig: a config is frozen', () => {
  const config = load(['--manifests', '/m']);
  assert.throws(() => Object.assign(config.mesh, { trustDomain: 'other' }), TypeError);
  assert.throws(() => Object.assign(config, { mesh: {} }), TypeError);
});

test('loadConfig: a switch stands alone or with a value, and --help silences what is missing', () => {
  const off = loadConfig(['exit'], ['--keep-pods=false'], NONE);
  assert.ok('config' in off && !off.config.exit.keepPods);
  const help = loadConfig(['directory', 'control', 'common'], ['--help'], NONE);
  assert.ok('config' in help && help.config.common.help);
});

test('loadConfig: a label, an annotation and a named port are given once', () => {
  const run = (...argv: readonly string[]) => {
    const loaded = loadConfig(['run'], ['--name', 'web', ...argv], NONE);
    return 'config' in loaded ? 'taken' : loaded.map(({ name, reason }) => `${name} ${reason}`).join('\n');
  };
  assert.equal(run('-l', 'a=b', '-l', 'b=b', '--annotation', 'a=b', '-p', 'http=80', '-p', 'admin=80'), 'taken');
  const twice = 'gives "a" 2 times; keep the one that is meant';
  assert.equal(run('-l', 'a=b', '--label', 'a=c'), `--label "a=b,a=c" ${twice}`);
  assert.equal(run('--annotation', 'a=b', '--annotation', 'a=b'), `--annotation "a=b,a=b" ${twice}`);
  assert.match(
    run('-p', 'http=80', '-p', 'x=1', '--port', 'http=81', '-p', 'http=82'),
    /^--port .* gives "http" 3 times;/,
  );
});

test('loadConfig: names, labels and annotations of a pod are those that Kubernetes takes', () => {
  const run = (...argv: readonly string[]) => {
    const loaded = loadConfig(['run'], ['--name', 'web', ...argv], NONE);
    return 'config' in loaded ? 'taken' : loaded.map(({ name, reason }) => `${name} ${reason}`).join('\n');
  };
  assert.equal(run('-l', 'app=', '-l', 'istio.io/rev=V1.2_x', '--annotation', 'a.b/c=any text, even = or ,'), 'taken');
  for (const [argv, says] of [
    [['--name', 'Web'], /^--name is given 2 times/],
    [['--namespace', 'a.b'], /^--namespace "a\.b" is not the name of a namespace/],
    [['--service-account', 'a..b'], /^--service-account "a\.\.b" is not a name: a "\." stands between/],
    [['-l', 'a b=c'], /^--label "a b=c" has the key "a b": the name "a b" is not made of letters/],
    [['-l', 'app=a b'], /^--label "app=a b" has the value "a b": it is not made of letters/],
    [['--annotation', 'A/b=c'], /^--annotation "A\/b=c" has the key "A\/b": the prefix "A" is not a name/],
  ] as const) {
    assert.match(run(...argv), says);
  }
});
