// SPDX-License-Identifier: Apache-2.0

import type { Config } from '../config/table.ts';
import { BPF_DIRECTORY, findBpfDirectory } from '../dialogue/engine-options.ts';
import { KernelError } from '../engine/kernel-error.ts';
import { probeKernel } from '../engine/probe.ts';
import { runProgram } from '../host/program.ts';
import type { KernelFeature } from '../model/messages.gen.ts';
import { tryBpffs } from '../node/bpffs.ts';
import { findCgroupRoot, requireCgroup } from '../node/cgroup.ts';
import { findPlaces } from '../node/node-home.ts';
import { defineCommand } from './command.ts';
import { EXIT } from './exit-code.ts';
import { formatAnswer, renderTable } from './output.ts';

// Programs that make pods; each answers to this argument.
const PROGRAMS = [
  ['ip', '-V', 'iproute2'],
  ['unshare', '--version', 'util-linux'],
  ['setpriv', '--version', 'util-linux'],
  ['mount', '--version', 'mount'],
] as const;

// Beyond it a table is no table.
const DETAIL_MAX = 160;

export const command = defineCommand({
  name: 'doctor',
  summary: 'What this machine can do, and what is missing, in words.',
  usage: '[-o]',
  description:
    'Tries each kernel feature and leaves nothing behind. Ends with status 0 when nothing that is needed is missing, else 1.',
  examples: ['sudo groundwire doctor', 'groundwire doctor -o json'],
  parts: ['kernel', 'output'],
  run: async ({ kernel, output }, _words, io) => {
    const features = [rootFeature(), ...(await programFeatures()), ...(await kernelFeatures(kernel))];
    io.print(await formatAnswer(output.format, features, () => renderFeatures(features)));
    return features.every((feature) => feature.present || !feature.required) ? EXIT.ok : EXIT.failed;
  },
});

/** For people: a line a feature, then what to do about what is missing, then the verdict. */
export function renderFeatures(features: readonly KernelFeature[]): string {
  const missing = features.filter((feature) => feature.required && !feature.present);
  return [
    renderTable(
      features,
      [
        { head: '', cell: (feature) => (feature.present ? 'ok' : feature.required ? 'MISSING' : 'absent') },
        { head: 'FEATURE', cell: (feature) => feature.name },
        { head: 'DETAIL', cell: (feature) => oneLine(feature.detail) },
      ],
      '',
    ),
    '',
    ...remediesOf(features),
    missing.length === 0
      ? 'This machine has all that an agent needs.'
      : `An agent cannot run here: ${missing.map((feature) => feature.name).join(', ')} missing.`,
  ].join('\n');
}

/** What a kernel or a library said on many lines; `-o json` has it as it was. */
function oneLine(detail: string): string {
  const line = detail.trim().replaceAll(/(:?)\s*\n\s*/g, (_, colon) => (colon === ':' ? ': ' : '; '));
  return line.length <= DETAIL_MAX ? line : `${line.slice(0, DETAIL_MAX)}… (all of it: -o json)`;
}

/** What to do about what is not there: each remedy once, after the names of all that it helps. */
export function remediesOf(features: readonly KernelFeature[]): readonly string[] {
  const names = new Map<string, string[]>();
  for (const { name, present, remedy } of features) {
    if (present || remedy === '') continue;
    names.set(remedy, [...(names.get(remedy) ?? []), name]);
  }
  return [...names].map(([remedy, helped]) => `${helped.join(', ')}: ${remedy}`);
}

function rootFeature(): KernelFeature {
  const present = process.getuid?.() === 0;
  return {
    name: 'root',
    present,
    required: true,
    detail: `user id ${process.getuid?.()}`,
    remedy: present ? '' : 'run as root: sudo groundwire doctor',
  };
}

async function programFeatures(): Promise<KernelFeature[]> {
  return Promise.all(
    PROGRAMS.map(async ([program, argument, packageName]) => {
      const said = await runProgram(program, [argument]).catch((error: unknown) => error as Error);
      const present = typeof said === 'string';
      const detail = present ? (said.split('\n')[0] ?? '').trim() : said.message;
      return {
        name: `program ${program}`,
        present,
        required: true,
        detail,
        remedy: present ? '' : `install the package ${packageName}`,
      };
    }),
  );
}

async function kernelFeatures(kernel: Config<'kernel'>['kernel']): Promise<readonly KernelFeature[]> {
  const cgroup = await placeFeature('cgroup v2', 'mount it: mount -t cgroup2 none /sys/fs/cgroup/unified', () =>
    kernel.cgroupRoot === undefined ? findCgroupRoot() : requireCgroup('cgroup-root', kernel.cgroupRoot),
  );
  const programs = await placeFeature('eBPF objects', 'build them: npm run build', () => findBpfDirectory(kernel));
  // An agent mounts it where there is none yet; so it is missing only where that does not work.
  const bpffs = await placeFeature('bpffs', 'name another directory with --bpffs', () => tryBpffs(kernel.bpffs));
  // What is tried of each place has a name of its own; where the place is missing there is nothing to try.
  const tried = probe(kernel, cgroup.present ? cgroup.detail : '/').filter(
    ({ name }) =>
      (cgroup.present || !name.startsWith('cgroup v2 for ')) && (programs.present || !name.startsWith('program ')),
  );
  return [...tried, cgroup, programs, bpffs];
}

/** A place that is needed: its path, or in words why it cannot be used. */
async function placeFeature(
  name: string,
  remedy: string,
  find: () => Promise<string> | string,
): Promise<KernelFeature> {
  try {
    return { name, present: true, required: true, detail: await find(), remedy: '' };
  } catch (error) {
    return { name, present: false, required: true, detail: (error as Error).message, remedy };
  }
}

function probe(kernel: Config<'kernel'>['kernel'], cgroupRoot: string): readonly KernelFeature[] {
  const places = findPlaces('doctor', kernel.bpffs, cgroupRoot);
  try {
    return probeKernel({ ...places, bpfDirectory: kernel.bpfDirectory ?? BPF_DIRECTORY });
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return [
      {
        name: 'native engine',
        present: false,
        required: true,
        detail: error.message,
        remedy: 'build it: npm run build',
      },
    ];
  }
}
