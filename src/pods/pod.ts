// SPDX-License-Identifier: Apache-2.0

import type { ProcessId } from '../host/process-id.ts';
import type { SocketAddress } from '../model/address.ts';
import type { SpiffeId } from '../model/identity.ts';
import type { Sandbox } from './sandbox.ts';

/** What `groundwire run` asks for. */
export interface PodSpec {
  readonly namespace: string;
  readonly name: string;
  readonly serviceAccount: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly ports: Readonly<Record<string, number>>;
  /** A headless Service below whose name the pod has its own. */
  readonly subdomain?: string;
}

/** What the control plane decided about a pod. */
export interface PodDecision {
  readonly capture: boolean;
  readonly sameNodeMode: 'handoff' | 'tunnel';
  readonly existingConnections: 'keep' | 'close';
  readonly dnsCapture: boolean;
  /** Why, for people. */
  readonly reason: string;
  /** What whoever started the pod should know; earlier agents wrote none down. */
  readonly notices?: readonly string[];
}

/** A pod of this node, as it is written to disk: what the next agent needs to take it over. */
export interface PodRecord {
  readonly uid: string;
  /** Its name in the engine; never 0, never given to another pod, and another one after each release. */
  readonly handle: number;
  readonly spec: PodSpec;
  readonly sandbox: Sandbox;
  /** The pod lives as long as this process. */
  readonly holder: ProcessId;
  readonly startedMs: number;
  /** What was decided last; a restarted agent goes by it until it hears otherwise. */
  readonly decision?: PodDecision;
  /** Its program has been told to end: it is no endpoint any more, and goes on with what it has. */
  readonly terminating?: boolean;
  /** Its namespace may hold our rules. */
  readonly captured: boolean;
}

/** Connections older than the capture: they were not steered, so no policy held for them. */
export interface OldConnections {
  readonly connections: readonly { readonly local: SocketAddress; readonly remote: SocketAddress }[];
  readonly closed: boolean;
}

/**
 * Where a pod stands.
 *
 *     starting → uncaptured ⇄ capturing → captured → releasing → uncaptured
 *     any → stopped
 */
export type PodState =
  | { readonly kind: 'starting' }
  | { readonly kind: 'uncaptured'; readonly reason: string }
  | { readonly kind: 'capturing' }
  | { readonly kind: 'captured'; readonly sinceMs: number }
  | { readonly kind: 'releasing' }
  | { readonly kind: 'stopped' };

/** A pod as the status API shows it. */
export interface PodView extends PodRecord {
  readonly state: PodState;
  /** Captured whatever it is on its way to: who is told otherwise dials it in plaintext. */
  readonly inMesh: boolean;
  readonly oldConnections: OldConnections;
  /** Why the last step did not work; it is tried again. */
  readonly problem?: string;
  /** What was decided after the capture and waits for the next one, in words. */
  readonly deferred: readonly string[];
}

/** The identity a pod has in a trust domain. */
export function podIdentity(trustDomain: string, spec: Pick<PodSpec, 'namespace' | 'serviceAccount'>): SpiffeId {
  return { trustDomain, namespace: spec.namespace, serviceAccount: spec.serviceAccount };
}
