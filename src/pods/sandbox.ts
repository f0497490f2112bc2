// SPDX-License-Identifier: Apache-2.0

// A pod without Kubernetes: a network namespace joined to the node's by a routed veth pair, and a cgroup.
//
//     node's namespace                      pod's namespace
//     gw<hash>  169.254.1.1/32, fe80::1 --- eth0  pod addresses
//     route: pod address → gw<hash>         default route → 169.254.1.1, fe80::1
//
// Names follow from the node and the pod, so that what a run left behind is found by the next one. The steps of making
// one are undone in reverse when a later one fails.

import { createHash } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { adviceOf, isSystemError, systemReason } from '../config/setting-error.ts';
import { runProgram } from '../host/program.ts';
import { errorText } from '../model/error-text.ts';
import type { Log } from '../model/log.ts';
import { removeCgroup } from '../node/cgroup.ts';

const GATEWAY_V4 = '169.254.1.1';
const GATEWAY_V6 = 'fe80::1';
const RESOLV_DIRECTORY = '/etc/netns';
// Linux takes one more.
const HOSTNAME_MAX = 63;
const FILE_NAME_MAX = 255;

/** What the node is to a sandbox. */
export interface SandboxHost {
  readonly node: string;
  /** cgroup that holds the cgroups of all pods of the node. */
  readonly podsCgroup: string;
  readonly mtu: number;
  readonly nameservers: readonly string[];
  readonly clusterDomain: string;
}

/** Where a pod lives. Plain data: it is written to disk and read by the next agent. */
export interface Sandbox {
  readonly namespaceName: string;
  readonly netnsPath: string;
  readonly linkName: string;
  readonly cgroup: string;
  readonly addresses: readonly string[];
  readonly hostname: string;
  /** A container runtime made it and takes it away; nothing of it but the namespace is ours to use. */
  readonly foreign?: true;
}

/** The sandbox of a pod that a container runtime made. */
export function foreignSandbox(netnsPath: string, addresses: readonly string[]): Sandbox {
  return { namespaceName: '', netnsPath, linkName: '', cgroup: '', addresses, hostname: '', foreign: true };
}

/** What a sandbox of that pod is called on this node. */
export function planSandbox(host: SandboxHost, namespace: string, name: string, addresses: readonly string[]): Sandbox {
  // 15 characters is what a link's name may have; the hash keeps names of two nodes on one machine apart.
  const hash = createHash('sha256').update(`${host.node}/${namespace}/${name}`).digest('hex').slice(0, 10);
  const namespaceName = `${namespacePrefix(host.node)}${hash}`;
  return {
    namespaceName,
    netnsPath: `/run/netns/${namespaceName}`,
    linkName: `gw${hash}`,
    cgroup: join(host.podsCgroup, fileName(`${namespace}_${name}`, hash)),
    addresses,
    // As a kubelet cuts it.
    hostname: name.slice(0, HOSTNAME_MAX).replace(/[-.]+$/, ''),
  };
}

/** A name that a directory may have; what is cut off is told apart by the hash. */
function fileName(name: string, hash: string): string {
  return name.length <= FILE_NAME_MAX ? name : `${name.slice(0, FILE_NAME_MAX - hash.length - 1)}_${hash}`;
}

/** Every pod namespace of a node begins with this, so that a sweep finds those nobody remembers. */
export function namespacePrefix(node: string): string {
  return `gw-${node}-`;
}

/** Makes and removes the sandboxes of a node. */
export interface Sandboxes {
  open(sandbox: Sandbox, namespace: string): Promise<void>;
  close(sandbox: Sandbox): Promise<void>;
}

/** Makes the sandbox; on failure nothing of it is left. */
export async function openSandbox(host: SandboxHost, sandbox: Sandbox, namespace: string, log: Log): Promise<void> {
  // What a dead run left under these names would make the steps below fail.
  await closeSandbox(sandbox, log);
  try {
    await runProgram('ip', ['netns', 'add', sandbox.namespaceName]);
    const peer = `p${sandbox.linkName.slice(1)}`;
    await runBatch(
      [],
      [
        `link add ${sandbox.linkName} mtu ${host.mtu} type veth peer name ${peer} mtu ${host.mtu} netns ${sandbox.namespaceName}`,
        ...nodeSide(sandbox),
      ],
    );
    await runBatch(['-n', sandbox.namespaceName], podSide(sandbox, peer));
    await writeResolvConf(host, sandbox, namespace);
    await mkdir(sandbox.cgroup, { recursive: true });
  } catch (error) {
    await closeSandbox(sandbox, log);
    throw error;
  }
}

/** Ends every process of the pod and removes all that `openSandbox` made; what is already gone is fine. */
export async function closeSandbox(sandbox: Sandbox, log: Log): Promise<void> {
  if (sandbox.foreign) return;
  await removeCgroup(sandbox.cgroup);
  // Deleting the link takes its peer and the routes along, at once; a namespace lives on while a socket is in it.
  await removeIfThere(['link', 'del', sandbox.linkName], log);
  await removeIfThere(['netns', 'del', sandbox.namespaceName], log);
  await rm(join(RESOLV_DIRECTORY, sandbox.namespaceName), { recursive: true, force: true });
}

// What is left is found again by the next pod of that name and by the next agent; till then somebody should know.
async function removeIfThere(args: readonly string[], log: Log): Promise<void> {
  try {
    await runProgram('ip', args);
  } catch (error) {
    const reason = errorText(error);
    if (!/Cannot find device|No such file or directory/.test(reason)) log.warn('sandbox not removed whole', { reason });
  }
}

/** The command and arguments that start a program in the sandbox; it keeps its pid, so signals and status are its own. */
export function commandInSandbox(
  sandbox: Pick<Sandbox, 'namespaceName' | 'cgroup' | 'hostname'>,
  command: readonly string[],
): readonly string[] {
  // Into the cgroup first: from its first system call in the namespace on, the program is under the hooks.
  const enter = 'echo 0 > "$1/cgroup.procs" && shift && exec "$@"';
  const rename = 'hostname "$1"; shift; exec "$@"';
  return [
    'setpriv',
    '--pdeathsig',
    'KILL',
    'sh',
    '-c',
    enter,
    'groundwire-run',
    sandbox.cgroup,
    'ip',
    'netns',
    'exec',
    sandbox.namespaceName,
    'unshare',
    '--uts',
    'sh',
    '-c',
    rename,
    'groundwire-run',
    sandbox.hostname,
    ...command,
  ];
}

function nodeSide(sandbox: Sandbox): string[] {
  const lines = [`link set ${sandbox.linkName} up`, `addr add ${GATEWAY_V4}/32 dev ${sandbox.linkName}`];
  const hasV6 = sandbox.addresses.some(isV6);
  if (hasV6) lines.push(`addr add ${GATEWAY_V6}/64 dev ${sandbox.linkName} nodad`);
  for (const address of sandbox.addresses) {
    lines.push(`${isV6(address) ? '-6 ' : ''}route replace ${address} dev ${sandbox.linkName}`);
  }
  return lines;
}

function podSide(sandbox: Sandbox, peer: string): string[] {
  const lines = ['link set lo up', `link set ${peer} name eth0`];
  for (const address of sandbox.addresses) {
    lines.push(isV6(address) ? `addr add ${address}/128 dev eth0 nodad` : `addr add ${address}/32 dev eth0`);
  }
  lines.push('link set eth0 up');
  if (sandbox.addresses.some((address) => !isV6(address))) {
    lines.push(`route add ${GATEWAY_V4} dev eth0 scope link`, `route add default via ${GATEWAY_V4} dev eth0`);
  }
  if (sandbox.addresses.some(isV6)) lines.push(`-6 route add default via ${GATEWAY_V6} dev eth0`);
  return lines;
}

/** Where `ip netns exec` finds the pod's resolv.conf. Throws, in words of its own, when the disk does not take it. */
export async function writeResolvConf(
  host: Pick<SandboxHost, 'nameservers' | 'clusterDomain'>,
  sandbox: Pick<Sandbox, 'namespaceName'>,
  namespace: string,
  root = RESOLV_DIRECTORY,
): Promise<void> {
  const directory = join(root, sandbox.namespaceName);
  const path = join(directory, 'resolv.conf');
  const domain = host.clusterDomain;
  const lines = [
    ...host.nameservers.slice(0, 3).map((server) => `nameserver ${server}`),
    `search ${namespace}.svc.${domain} svc.${domain} ${domain}`,
    'options ndots:5',
  ];
  try {
    await mkdir(directory, { recursive: true });
    await writeFile(path, `${lines.join('\n')}\n`);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    const advice = adviceOf(error) ?? `see what is in the way at ${root}`;
    throw new Error(`${path} cannot be written: ${systemReason(error)}; ${advice}`, { cause: error });
  }
}

async function runBatch(options: readonly string[], lines: readonly string[]): Promise<void> {
  // A line with `-6` of its own is not understood by `ip -batch`: such lines go in a batch of that family.
  const inet6 = lines.filter((line) => line.startsWith('-6 ')).map((line) => line.slice(3));
  await runProgram(
    'ip',
    [...options, '-batch', '-'],
    `${lines.filter((line) => !line.startsWith('-6 ')).join('\n')}\n`,
  );
  if (inet6.length > 0) await runProgram('ip', [...options, '-6', '-batch', '-'], `${inet6.join('\n')}\n`);
}

function isV6(address: string): boolean {
  return address.includes(':');
}
