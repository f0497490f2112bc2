// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { type Command, renderHelp } from '#src/commands/command.ts';
import { COMMANDS } from '#src/commands/commands.ts';
import { loadConfig } from '#src/config/load.ts';
import { renderConfigDocs, renderUsage } from '#src/config/render.ts';
import { settingsOf } from '#src/config/table.ts';

const GROUNDWIRE = fileURLToPath(new URL('../../../bin/groundwire', import.meta.url));

function groundwire(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const { status, stdout, stderr } = spawnSync(GROUNDWIRE, args, {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'] ?? '', ...env },
  });
  return { status, stdout, stderr };
}

test('groundwire --version and -v are what version says', () => {
  const version = groundwire(['version']);
  assert.equal(version.status, 0);
  for (const flag of ['--version', '-v']) assert.deepEqual(groundwire([flag]), version);
});

function requiredFlags({ parts }: Command): string[] {
  return parts.flatMap((part) => [...settingsOf(part).values()]).flatMap((one) => (one.required ? [one.flag] : []));
}

for (const { name, load } of COMMANDS) {
  test(`groundwire ${name} --help: says what it does, its options, and examples that it accepts`, async () => {
    const command = await load();
    assert.equal(command.name, name);
    const help = renderHelp(command);
    assert.match(help, new RegExp(`Usage: groundwire ${name} `));
    assert.match(help, /Examples:\n {2}\S/);
    assert.doesNotThrow(() => renderUsage(command.usage, command.parts));
    for (const flag of requiredFlags(command)) assert.match(command.usage, new RegExp(`(?<!\\[)--${flag}\\b`), flag);
    for (const example of command.examples) {
      // The words of our own command: what comes before and after belongs to the shell.
      const words = /groundwire (.*?)(?: [|>].*)?$/.exec(example)?.[1]?.split(/\s+/) ?? [];
      assert.equal(words.slice(0, name.split(' ').length).join(' '), name, example);
      const loaded = loadConfig([...command.parts, 'common'], words.slice(name.split(' ').length), new Map());
      assert.ok('config' in loaded, `${example}: ${JSON.stringify(loaded)}`);
      assert.ok(loaded.positionals.length <= (command.positionalsMax ?? 0), example);
    }
  });
}

test('docs/config.md and --help say the same: each option of a command, no other, and its value as on the usage line', async () => {
  const commands = await Promise.all(COMMANDS.map((one) => one.load()));
  const sections = renderConfigDocs(commands)
    .split(/^## /m)
    .slice(1)
    .map((section) => ({
      takers: /^Taken by (.*)\.$/m.exec(section)?.[1] ?? '',
      options: [...section.matchAll(/^\| `--([a-z-]+)` \|.*?\| ([^ ]+) \|/gm)].map(([, flag, value]) => ({
        flag,
        value: value?.replaceAll('\\|', '|'),
      })),
    }));
  for (const command of commands) {
    const inDocs = sections
      .filter(({ takers }) => takers === 'every command' || takers.split(', ').includes(`\`${command.name}\``))
      .flatMap(({ options }) => options);
    const help = renderHelp(command);
    const inHelp = [...help.matchAll(/^ {2}(?:-., | {4})--([a-z-]+)/gm)].map(([, flag]) => flag);
    assert.deepEqual(new Set(inHelp), new Set(inDocs.map(({ flag }) => flag)), command.name);
    const usage = /^Usage: .*$/m.exec(help)?.[0] ?? '';
    for (const [, flag, value] of usage.matchAll(/--([a-z-]+) ([A-Z][^ \]]*)/g))
      assert.ok(
        inDocs.some((option) => option.flag === flag && option.value === value),
        `${command.name} --${flag} ${value}`,
      );
  }
});

test('a usage line with an option that the command does not take is refused', () => {
  assert.throws(() => renderUsage('--manifest DIR', ['control']), /--manifest is no option of this command/);
});

test('groundwire: `help COMMAND` is `COMMAND --help`, and the overview has examples', () => {
  const help = groundwire(['help', 'control', 'token']);
  assert.equal(help.status, 0);
  assert.equal(help.stdout, groundwire(['control', 'token', '--help']).stdout);
  assert.equal(groundwire(['help', '--help']).status, 0);
  assert.match(groundwire(['--help']).stdout, /Examples:\n {2}sudo groundwire/);
});

test('groundwire: without a command it lists them, and a misspelt one is guessed', () => {
  const overview = groundwire([]);
  assert.equal(overview.status, 64);
  for (const { name } of COMMANDS) assert.ok(overview.stdout.includes(name));
  const typo = groundwire(['workload']);
  assert.equal(typo.status, 64);
  assert.match(typo.stderr, /did you mean "workloads"\?/);
});

test('groundwire: runs through a symlink', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'groundwire-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const link = join(directory, 'gw');
  symlinkSync(GROUNDWIRE, link);
  const { status, stdout } = spawnSync(link, ['version', '-o', 'json'], { encoding: 'utf8' });
  assert.equal(status, 0);
  assert.match((JSON.parse(stdout) as { node: string }).node, /^24\./);
});

test('groundwire: a surplus word, an unknown flag and a misspelt variable are told together with where to look', () => {
  assert.match(groundwire(['status', 'now']).stderr, /"now" is not expected here/);
  const { status, stderr } = groundwire(['status', '--nod', 'a'], { GROUNDWIRE_OUTPT: 'json' });
  assert.equal(status, 64);
  assert.match(stderr, /--nod .*did you mean --node\?/);
  assert.match(stderr, /GROUNDWIRE_OUTPT .*did you mean GROUNDWIRE_OUTPUT\?/);
  assert.match(stderr, /see groundwire status --help/);
});

test('groundwire: no agent is a clear error, not a stack', () => {
  const { status, stderr } = groundwire(['status', '--run-dir', '/nonexistent/groundwire']);
  assert.equal(status, 69);
  assert.match(stderr, /no agent runs on this machine \(looked in \/nonexistent\/groundwire\); start one with/);
  assert.doesNotMatch(stderr, /\n\s+at /);
});

test('output that nobody reads any more is no bug', () => {
  const { stderr } = spawnSync('sh', ['-c', '"$0" --help | true; "$0" version -o json | true', GROUNDWIRE], {
    encoding: 'utf8',
  });
  assert.equal(stderr, '');
});

test('control token: a key that others can read is told in words, with 77', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'groundwire-token-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const args = ['control', 'token', '--node', 'a', '--state-dir', directory, '--init'];
  assert.equal(groundwire(args).status, 0);
  chmodSync(join(directory, 'token.key'), 0o644);
  const { status, stderr } = groundwire(args);
  assert.equal(status, 77);
  assert.match(stderr, /token\.key has mode 0644.*chmod 600/);
  assert.doesNotMatch(stderr, /bug|at file:/);
});
