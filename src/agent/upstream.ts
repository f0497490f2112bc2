// SPDX-License-Identifier: Apache-2.0

import { join } from 'node:path';

import { readNamedFile } from '../config/paths.ts';
import { SettingError } from '../config/setting-error.ts';
import type { Config } from '../config/table.ts';
import { ControlPlane } from '../discovery/control-plane.ts';
import { type JoinFile, parseJoinFile } from '../identity/join-token.ts';
import { checkPemCertificates } from '../identity/pem.ts';
import { TokenKeeper } from '../identity/token-keeper.ts';
import { formatSocketAddress } from '../model/address.ts';
import type { Clock } from '../model/clock.ts';
import type { Logger } from '../telemetry/logger.ts';

const MAKE_TOKEN = 'make one with `groundwire control token --node NAME` where the control plane runs';
// Ours renews at half of a token's life; the kubelet writes a new one for istiod when a fifth is left.
const SCARCE_SHARE = { ours: 0.25, kubelet: 0.1 } as const;

/** Where the mesh is told from, and with which token it is asked. */
export interface Upstream {
  readonly controlPlane: ControlPlane;
  readonly tokens: TokenKeeper;
}

/** The control plane of the configuration; throws `SettingError` for files that cannot be used. */
export function openUpstream(
  { node, state, upstream, mesh }: Config<'node' | 'state' | 'upstream' | 'mesh'>,
  clock: Clock,
  log: Logger,
): Upstream {
  const { control, serverName, tokenFile, podRegistry } = upstream;
  const tokens = new TokenKeeper({
    readGiven: () => readJoinFile(tokenFile).token,
    path: join(state.directory, node.name, 'renewed.token'),
    scarceShare: podRegistry ? SCARCE_SHARE.ours : SCARCE_SHARE.kubelet,
    renewal: podRegistry ? 'the control plane sends one once it is reached' : `the kubelet renews ${tokenFile} in time`,
    remedy: podRegistry ? `${MAKE_TOKEN}, and put it in ${tokenFile}` : `put a new one in ${tokenFile}`,
    clock,
    log: log.child('join token'),
  });
  const controlPlane = new ControlPlane({
    address: formatSocketAddress({ address: control.host, port: control.port }),
    ...(serverName !== undefined && { serverName }),
    readRootsPem: () => readRoots(upstream),
    readToken: () => tokens.current(),
    clusterId: mesh.clusterId,
  });
  // What cannot be used is told now and not at the first connection.
  controlPlane.dial();
  controlPlane.callMetadata();
  return { controlPlane, tokens };
}

function readJoinFile(path: string): JoinFile {
  const text = readNamedFile('token-file', path, MAKE_TOKEN);
  try {
    return parseJoinFile(text);
  } catch (cause) {
    throw new SettingError({ flag: 'token-file', value: path, tried: 'used', hint: MAKE_TOKEN }, cause);
  }
}

function readRoots({ tokenFile, rootCertificateFile }: Config<'upstream'>['upstream']): string {
  if (rootCertificateFile !== undefined) return readRootCertificates(rootCertificateFile);
  const { rootsPem } = readJoinFile(tokenFile);
  if (rootsPem !== undefined) return rootsPem;
  throw new SettingError(
    { flag: 'token-file', value: tokenFile, tried: 'used alone', hint: "name the control plane's with --root-cert" },
    new Error('it holds no root certificate'),
  );
}

function readRootCertificates(path: string): string {
  const hint = 'name a file with the PEM certificates that sign the certificate of the control plane';
  const pem = readNamedFile('root-cert', path, hint);
  try {
    checkPemCertificates(pem);
    return pem;
  } catch (cause) {
    throw new SettingError({ flag: 'root-cert', value: path, tried: 'used', hint }, cause);
  }
}
