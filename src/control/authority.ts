// SPDX-License-Identifier: Apache-2.0

import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomically } from '../host/atomic-file.ts';
import { CertificateAuthority } from '../identity/certificate-authority.ts';
import { AuthoritySecret } from '../kubernetes/authority-secret.ts';
import type { ApiClient } from '../kubernetes/api-client.ts';
import type { Clock } from '../model/clock.ts';

/** Where the mesh's root is kept beside the state directory: as a Secret of this namespace. */
export interface SharedRoot {
  readonly client: ApiClient;
  readonly namespace: string;
}

export interface AuthorityPlace {
  readonly stateDir: string;
  readonly trustDomain: string;
  readonly clock: Clock;
}

/**
 * Opens the mesh's authority, and makes its root at the first start of all.
 *
 * With a shared root the state directory is only its copy for the life of this process: of several replicas that start
 * at once one makes the root, and all of them sign with it.
 */
export async function openAuthority(place: AuthorityPlace, shared?: SharedRoot): Promise<CertificateAuthority> {
  if (shared === undefined) return CertificateAuthority.open(place);
  const secret = new AuthoritySecret(shared.client, shared.namespace);
  const files = { key: join(place.stateDir, 'root.key'), certificate: join(place.stateDir, 'root.pem') };
  const copy = async (): Promise<boolean> => {
    const root = await secret.read();
    if (root === undefined) return false;
    writeFileAtomically(files.key, root.key, 0o600);
    writeFileAtomically(files.certificate, root.certificate, 0o644);
    return true;
  };
  if (await copy()) return CertificateAuthority.open(place);
  // What an earlier process left here may be of another cluster's mesh.
  await Promise.all([rm(files.key, { force: true }), rm(files.certificate, { force: true })]);
  const made = await CertificateAuthority.open(place);
  const root = { key: readFileSync(files.key, 'utf8'), certificate: readFileSync(files.certificate, 'utf8') };
  if (await secret.create(root)) return made;
  await copy();
  return CertificateAuthority.open(place);
}
