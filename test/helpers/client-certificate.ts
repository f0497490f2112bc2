// SPDX-License-Identifier: Apache-2.0

import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { must } from '../../src/harness/shell.ts';

/** A certificate authority as files. */
export interface Authority {
  readonly certificate: string;
  readonly key: string;
}

/** Makes an authority that no mesh knows. */
export async function makeAuthority(directory: string): Promise<Authority> {
  mkdirSync(directory, { recursive: true });
  const authority = { certificate: join(directory, 'root.pem'), key: join(directory, 'root.key') };
  await must([
    'openssl',
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-days',
    '1',
    '-subj',
    '/O=elsewhere',
    '-keyout',
    authority.key,
    '-out',
    authority.certificate,
  ]);
  return authority;
}

/**
 * Writes client.pem and client.key for a SPIFFE ID, signed by `authority`, and root.pem of the mesh to trust.
 * The tests hold the mesh's own root key, which an attacker does not: with it they can be anyone.
 */
export async function makeClient(
  directory: string,
  spiffeId: string,
  authority: Authority,
  meshRoot: string,
): Promise<string> {
  mkdirSync(directory, { recursive: true });
  const path = (name: string) => join(directory, name);
  await must([
    'openssl',
    'req',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-subj',
    '/',
    '-keyout',
    path('client.key'),
    '-out',
    path('client.csr'),
  ]);
  writeFileSync(
    path('extensions'),
    `subjectAltName=critical,URI:${spiffeId}\nextendedKeyUsage=clientAuth,serverAuth\nbasicConstraints=CA:FALSE\n`,
  );
  await must([
    'openssl',
    'x509',
    '-req',
    '-days',
    '1',
    '-in',
    path('client.csr'),
    '-CA',
    authority.certificate,
    '-CAkey',
    authority.key,
    '-CAcreateserial',
    '-CAserial',
    path('serial'),
    '-extfile',
    path('extensions'),
    '-out',
    path('client.pem'),
  ]);
  copyFileSync(meshRoot, path('root.pem'));
  return directory;
}
