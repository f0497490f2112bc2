// SPDX-License-Identifier: Apache-2.0

import { readFileSync } from 'node:fs';

export interface VersionFacts {
  readonly groundwire: string;
  readonly node: string;
  readonly openssl: string;
}

/** What this program is, from its own package file and from Node. */
export function readVersion(): VersionFacts {
  const file = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(file) as { readonly version: string };
  return { groundwire: version, node: process.versions.node, openssl: process.versions.openssl };
}
