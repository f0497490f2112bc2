// SPDX-License-Identifier: Apache-2.0

import type { Config } from '../config/table.ts';
import { KernelError } from '../engine/kernel-error.ts';
import type { KernelFeature } from '../engine/port.ts';
import { probeKernel } from '../engine/probe.ts';
import { findCgroupRoot } from '../pods/cgroup.ts';
import { BPF_DIRECTORY } from '../pods/engine-options.ts';
import { findPlaces, type NodePlaces } from '../pods/node-home.ts';
import { runProgram } from '../pods/process.ts';
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
    const missing = features.filter((feature) => feature.required && !feature.present);
    const table = (): string =>
      [
        renderTable(
          features,
          [
            { head: '', cell: (feature) => (feature.present ? 'ok' : feature.required ? 'MISSING' : 'absent') },
            { head: 'FEATURE', cell: (feature) => feature.name },
            { head: 'DETAIL', cell: (feature) => feature.detail },
          ],
          '',
        ),
        '',
        ...features
          .filter((feature) => !feature.present && feature.remedy !== '')
          .map((feature) => `${feature.name}: ${feature.remedy}`),
        missing.length === 0
          ? 'This machine has all that an agent needs.'
          : `An agent cannot run here: ${missing.map((feature) => feature.name).join(', ')} missing.`,
      ].join('\n');
    io.print(await formatAnswer(output.format, features, table));
    return missing.length === 0 ? EXIT.ok : EXIT.failed;
  },
});

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
  let home: NodePlaces;
  try {
    home = findPlaces('doctor', kernel.bpffs, kernel.cgroupRoot ?? (await findCgroupRoot()));
  } catch (error) {
    const detail = (error as Error).message;
    return [
      {
        name: 'cgroup v2',
        present: false,
        required: true,
        detail,
        remedy: 'mount it: mount -t cgroup2 none /sys/fs/cgroup/unified',
      },
    ];
  }
  try {
    return probeKernel({ ...home, bpfDirectory: kernel.bpfDirectory ?? BPF_DIRECTORY });
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
