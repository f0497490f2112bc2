// SPDX-License-Identifier: Apache-2.0

/** There is nothing to start from: the directory cannot be read, and nothing is known of an earlier run. */
export class ManifestsMissing extends Error {
  override readonly name = 'ManifestsMissing';
}
