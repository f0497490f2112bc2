// SPDX-License-Identifier: Apache-2.0

import {
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { mountsOf } from '../host/mounts.ts';
import { run, sleep } from './shell.ts';

/** Where a mesh of two nodes on this machine keeps its things; every name begins with the mesh's own. */
export interface MeshNames {
  /** `tour`: its nodes are `tour-a` and `tour-b`. */
  readonly mesh: string;
  /** Files of the control plane, the agents and the programs. */
  readonly directory: string;
}

export function meshNames(mesh: string): MeshNames {
  return { mesh, directory: `/run/groundwire-${mesh}` };
}

const RUN_DIRECTORY = '/run/groundwire';
const NETNS_DIRECTORY = '/run/netns';
const RESOLV_DIRECTORY = '/etc/netns';

function nodesOf(mesh: string): string[] {
  return [`${mesh}-a`, `${mesh}-b`];
}

function entries(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

function cgroupsOf(mesh: string): string[] {
  return mountsOf('cgroup2')
    .flatMap((mount) => nodesOf(mesh).map((node) => join(mount, 'groundwire', node)))
    .filter(existsSync);
}

function pinsOf(mesh: string): string[] {
  return mountsOf('bpf')
    .flatMap((mount) => nodesOf(mesh).map((node) => join(mount, 'groundwire', node)))
    .filter(existsSync);
}

function namespacesOf(mesh: string): string[] {
  const ours = (name: string) => nodesOf(mesh).some((node) => name === `gw-${node}` || name.startsWith(`gw-${node}-`));
  return entries(NETNS_DIRECTORY).filter(ours);
}

function resolvConfsOf(mesh: string): string[] {
  return entries(RESOLV_DIRECTORY)
    .filter((name) => nodesOf(mesh).some((node) => name.startsWith(`gw-${node}-`)))
    .map((name) => join(RESOLV_DIRECTORY, name));
}

/** Links of the namespace that we are in; those inside namespaces of the mesh go with them. */
function linksOf(mesh: string): string[] {
  return entries('/sys/class/net').filter((name) => nodesOf(mesh).some((node) => name.startsWith(`gw-${node}`)));
}

/** Processes of the mesh: in one of its namespaces or cgroups, or with a file of its directory among their arguments. */
function processesOf(names: MeshNames): number[] {
  const namespaces = new Set<string>();
  for (const name of namespacesOf(names.mesh)) {
    namespaces.add(String(statSync(join(NETNS_DIRECTORY, name)).ino));
  }
  const found: number[] = [];
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    try {
      const cgroup = readFileSync(`/proc/${pid}/cgroup`, 'utf8');
      const inCgroup = nodesOf(names.mesh).some((node) => cgroup.includes(`0::/groundwire/${node}/`));
      const inNamespace = namespaces.has(readlinkSync(`/proc/${pid}/ns/net`).replace(/\D/g, ''));
      const argumentsText = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      if (inCgroup || inNamespace || argumentsText.includes(`${names.directory}/`)) found.push(pid);
    } catch {
      // It ended meanwhile, or is a kernel thread.
    }
  }
  return found;
}

/** What of the mesh is on this machine now, each with its kind; empty when nothing is. */
export function listRemains(names: MeshNames): string[] {
  const { mesh, directory } = names;
  return [
    ...processesOf(names).map((pid) => `process ${pid}`),
    ...namespacesOf(mesh).map((name) => `network namespace ${name}`),
    ...linksOf(mesh).map((name) => `link ${name}`),
    ...cgroupsOf(mesh).map((path) => `cgroup ${path}`),
    ...pinsOf(mesh).map((path) => `pin ${path}`),
    ...resolvConfsOf(mesh).map((path) => `file ${path}`),
    ...nodesOf(mesh)
      .map((node) => join(RUN_DIRECTORY, node))
      .filter(existsSync)
      .map((path) => `directory ${path}`),
    ...(existsSync(directory) ? [`directory ${directory}`] : []),
  ];
}

function removeCgroup(path: string): void {
  for (const entry of readdirSync(path, { withFileTypes: true }))
    if (entry.isDirectory()) removeCgroup(join(path, entry.name));
  rmdirSync(path);
}

/**
 * Removes all that a run of the mesh left on this machine, however that run ended.
 *
 * Ends its processes by id, then takes away what they held. Returns what is there still, which is a bug worth reporting.
 */
export async function sweep(names: MeshNames): Promise<string[]> {
  for (const pid of processesOf(names)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended meanwhile.
    }
  }
  const deadline = performance.now() + 5000;
  while (processesOf(names).length > 0 && performance.now() < deadline) await sleep(20);
  for (const path of pinsOf(names.mesh)) rmSync(path, { recursive: true, force: true });
  for (const name of namespacesOf(names.mesh)) await run(['ip', 'netns', 'delete', name]);
  for (const name of linksOf(names.mesh)) await run(['ip', 'link', 'delete', name]);
  for (const path of cgroupsOf(names.mesh)) {
    writeFileSync(join(path, 'cgroup.kill'), '1');
    while (performance.now() < deadline) {
      try {
        removeCgroup(path);
        break;
      } catch {
        await sleep(20);
      }
    }
  }
  for (const path of resolvConfsOf(names.mesh)) rmSync(path, { recursive: true, force: true });
  for (const node of nodesOf(names.mesh)) rmSync(join(RUN_DIRECTORY, node), { recursive: true, force: true });
  rmSync(names.directory, { recursive: true, force: true });
  return listRemains(names);
}
