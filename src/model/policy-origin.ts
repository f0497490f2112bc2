// SPDX-License-Identifier: Apache-2.0

import type { ErrorCode } from './errors.ts';
import { ERROR_TABLE } from './errors.ts';

// Names that no object can have, since Kubernetes allows no underscore in one: so they cannot be mistaken.

/** As Istio names them: the policies that stand for PeerAuthentications of mode STRICT. */
export const STATIC_STRICT_NAME = 'istio_converted_static_strict';
export const CONVERTED_PREFIX = 'converted_peer_authentication_';
/** Before the name of an AuthorizationPolicy whose manifest no version was ever good of. */
export const UNREADABLE_PREFIX = 'groundwire_unreadable_';

/** What a policy stands for, in words; `undefined` for an AuthorizationPolicy that is enforced as written. */
export function describeOrigin(policyKey: string): string | undefined {
  const name = policyKey.slice(policyKey.indexOf('/') + 1);
  if (name === STATIC_STRICT_NAME || name.startsWith(CONVERTED_PREFIX))
    return 'PeerAuthentication STRICT: plaintext is refused';
  if (name.startsWith(UNREADABLE_PREFIX))
    return `The manifest of AuthorizationPolicy ${name.slice(UNREADABLE_PREFIX.length)} is invalid, so all of its scope is denied; the control plane's log says what is wrong`;
  return undefined;
}

/** What to do about an error, with what the policy behind it stands for. */
export function hintOf(code: ErrorCode, policyKey: string | undefined): string {
  const { hint } = ERROR_TABLE[code];
  const origin = policyKey === undefined ? undefined : describeOrigin(policyKey);
  return origin === undefined ? hint : `${hint} ${origin}.`;
}
