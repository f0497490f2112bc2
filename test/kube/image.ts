// SPDX-License-Identifier: Apache-2.0

// Container images without an engine: a folder, packed as an archive that `ctr images import` takes.

import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { must } from '#src/harness/shell.ts';

export interface Image {
  /** As pods name it: `groundwire.test/tools:1`. */
  readonly name: string;
  readonly entrypoint: readonly string[];
  readonly env?: readonly string[];
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/** Packs what is in `rootfs` into `archive`. */
export async function packImage(image: Image, rootfs: string, archive: string): Promise<void> {
  const work = `${archive}.d`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  await must(['tar', '--numeric-owner', '--sort=name', '-C', rootfs, '-cf', join(work, 'layer.tar'), '.'], {
    timeoutMs: 120_000,
  });
  const config = JSON.stringify({
    architecture: ARCHITECTURES[process.arch] ?? process.arch,
    os: 'linux',
    config: { Entrypoint: image.entrypoint, Env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin', ...(image.env ?? [])] },
    rootfs: { type: 'layers', diff_ids: [`sha256:${digest(readFileSync(join(work, 'layer.tar')))}`] },
  });
  const configName = `${digest(config)}.json`;
  writeFileSync(join(work, configName), config);
  writeFileSync(
    join(work, 'manifest.json'),
    JSON.stringify([{ Config: configName, RepoTags: [image.name], Layers: ['layer.tar'] }]),
  );
  await must(['tar', '-C', work, '-cf', archive, 'manifest.json', configName, 'layer.tar'], { timeoutMs: 120_000 });
  rmSync(work, { recursive: true, force: true });
}

function digest(content: string | Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

/** Copies programs of this machine into a root, each with the libraries that it loads. */
export async function addPrograms(rootfs: string, programs: readonly string[]): Promise<void> {
  for (const program of programs) {
    add(rootfs, program);
    const stdout = await must(['sh', '-c', 'ldd "$0" 2>/dev/null || true', program]);
    for (const [, path = ''] of stdout.matchAll(/(?:=> )?(\/\S+) \(0x/g)) add(rootfs, path);
  }
}

/** One file, under its own path; a link as what it leads to. */
export function add(rootfs: string, path: string, to = path): void {
  const target = join(rootfs, to);
  mkdirSync(dirname(target), { recursive: true });
  cpSync(realpathSync(path), target, { recursive: true, dereference: true });
}
