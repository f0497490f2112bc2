// SPDX-License-Identifier: Apache-2.0

/** Every variable of ours begins with this; one that we do not know is a spelling mistake and refused. */
export const VARIABLE_PREFIX = 'GROUNDWIRE_';

/** The variables of this process that are meant for us. The only place that reads `process.env`. */
export function readVariables(): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [name, value] of Object.entries(process.env)) {
    if (name.startsWith(VARIABLE_PREFIX) && value !== undefined) found.set(name, value);
  }
  return found;
}
