// SPDX-License-Identifier: Apache-2.0
//
// node test/debian/first-command.ts [SUITE]       trixie (Debian 13) without one; as root
//
// The README's first command as somebody meets it who runs that release of Debian and has Node and npm of it, and a clone:
//   1. finds the mirror of Debian that this machine's apt uses, and how apt and npm reach what they fetch
//   2. makes a root of SUITE in memory, in namespaces of its own for mounts and processes (first-command.sh)
//   3. there, in a copy of this clone's files: npm start -- --once
// All of it ends, and its memory with it, when the first process in those namespaces does, however that happens. Exit
// status 0 only if every check of the tour held.

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { claimMachine } from '../../src/harness/claim.ts';
import { meshNames, sweep } from '../../src/harness/remains.ts';
import { must } from '../../src/harness/shell.ts';

/** Usually four minutes; more than this is a fault, or a mirror that does not answer. */
const SECONDS_MAX = 15 * 60;

/** Where this machine's own packages of Debian come from. */
async function findMirror(): Promise<string> {
  const list = () =>
    must([
      'apt-get',
      'indextargets',
      '--format',
      '$(ORIGIN)|$(COMPONENT)|$(RELEASE)|$(REPO_URI)',
      'Created-By: Packages',
    ]);
  const find = (targets: string) =>
    // bookworm, and neither bookworm-updates nor bookworm-security, which hold little.
    /^Debian\|main\|[a-z]+\|(\S+)$/m.exec(targets)?.[1];
  const known = find(await list());
  if (known !== undefined) return known;
  await must(['apt-get', 'update', '-q'], { timeoutMs: 300_000 });
  const found = find(await list());
  if (found === undefined)
    throw new Error('the apt of this machine knows no mirror of Debian: none of its sources has Origin Debian');
  return found;
}

/** Proxies, checks of dates and the like, as lines of apt.conf; this machine's apt works with them. */
async function aptSettings(): Promise<string[]> {
  const lines = (await must(['apt-config', 'dump'])).split('\n');
  return lines.filter((line) => /^Acquire::(?:Check-|https?::(?:Proxy|No-Cache|Verify-))[\w-]* "/.test(line));
}

/** How this machine's npm reaches its registry, as variables of npm's. */
function npmSettings(): string[] {
  return ['registry', 'proxy', 'https-proxy', 'noproxy'].flatMap((name) => {
    const { stdout } = spawnSync('npm', ['config', 'get', name], { encoding: 'utf8' });
    const value = stdout.trim();
    return ['', 'null', 'undefined'].includes(value) ? [] : [`npm_config_${name.replace('-', '_')}=${value}`];
  });
}

function runInside(directory: string, suite: string, mirror: string, apt: string[], npm: string[]): Promise<number> {
  const script = join(import.meta.dirname, 'first-command.sh');
  // --kill-child: who ends unshare ends the first process in the namespace, and the kernel then ends all others there.
  const inside = ['unshare', '--mount', '--pid', '--fork', '--kill-child', 'sh', script, directory, suite, mirror];
  const bounded = ['timeout', '--foreground', '--signal=KILL', String(SECONDS_MAX), ...inside];
  const [program = '', ...args] = bounded;
  const child = spawn(program, args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { PATH: process.env['PATH'], APT_SETTINGS: apt.join('\n'), NPM_SETTINGS: npm.join('\n') },
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? 1));
  });
}

async function main(suite = 'trixie'): Promise<number> {
  if (process.getuid?.() !== 0) throw new Error('makes mounts, network namespaces and eBPF programs: run it as root');
  const mirror = await findMirror();
  const directory = mkdtempSync(join(tmpdir(), 'groundwire-debian-'));
  try {
    const begun = performance.now();
    const code = await runInside(directory, suite, mirror, await aptSettings(), npmSettings());
    const seconds = ((performance.now() - begun) / 1000).toFixed(0);
    console.log(
      `${code === 0 ? 'passed' : `FAILED (status ${code})`}: npm start -- --once on Debian ${suite}, ${seconds} s`,
    );
    return code;
  } finally {
    rmdirSync(directory);
    // Cgroups and pins are the machine's, not those namespaces'; a tour that was ended from outside leaves them.
    const claim = await claimMachine('tour');
    for (const left of await sweep(meshNames('tour'))) console.error(`left behind: ${left}`);
    claim.release();
  }
}

process.exitCode = await main(...process.argv.slice(2)).catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  return 1;
});
