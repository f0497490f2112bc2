// SPDX-License-Identifier: Apache-2.0

import type { Config } from '../config/table.ts';
import { EngineIdentities } from '../dialogue/engine-identities.ts';
import type { ControlPlane } from '../discovery/control-plane.ts';
import type { EnginePort } from '../engine/port.ts';
import { CertificateManager } from '../identity/certificate-manager.ts';
import { SigningClient } from '../identity/signing-client.ts';
import type { Clock } from '../model/clock.ts';
import type { Closers } from '../model/closers.ts';
import type { Logger } from '../telemetry/logger.ts';

/** Certificates, from the authority to the engine. */
export interface Identity {
  readonly certificates: CertificateManager;
  readonly identities: EngineIdentities;
}

/** Asks for nothing until a pod requires it. */
export function openIdentity(
  config: Config<'mesh'>,
  log: Logger,
  parts: { readonly controlPlane: ControlPlane; readonly engine: EnginePort; readonly clock: Clock },
  closers: Closers,
): Identity {
  const identities = new EngineIdentities(parts.engine, parts.clock, log.child('identity'));
  closers.add('identities', () => identities.close());
  const signing = new SigningClient(parts.controlPlane, parts.clock);
  closers.add('signing', () => signing.close());
  const certificates = new CertificateManager({
    sign: (identity, csr, lifetimeSeconds) => signing.sign(identity, csr, lifetimeSeconds),
    sink: identities,
    clock: parts.clock,
    log: log.child('certificates'),
    lifetimeSeconds: config.mesh.certificateTtlMs / 1000,
  });
  closers.add('certificates', () => certificates.close());
  return { certificates, identities };
}
