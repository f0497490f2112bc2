// SPDX-License-Identifier: Apache-2.0

// One stream to the control plane, kept alive for ever:
//
//   Waiting ──delay over──> Open ──first response of each type──> Open (synced)
//      ^                      │ ended, refused, silent
//      └──────backoff─────────┘                        close() from anywhere: Closed
//
// What was received stays in force in every state (fail-static).

import type { ClientDuplexStream } from '@grpc/grpc-js';
import { Backoff } from '../model/backoff.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import { fromGrpcStatus, StreamError } from '../model/grpc-status.ts';
import type { Log } from '../model/log.ts';
import { QuietLog } from '../model/quiet-log.ts';
import { type ControlPlane, FIRST_ANSWER_MS, silenceError } from './control-plane.ts';
import { decodeObject } from './decode.ts';
import { nameOnly } from './remains.ts';
import {
  AggregatedDiscoveryServiceClient,
  DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  type Resource,
} from '../wire/envoy/discovery.ts';
import {
  isResourceType,
  type MeshObject,
  RESOURCE_TYPES,
  type ResourceRejected,
  type ResourceType,
} from './resource.ts';

const MESSAGE_BYTES_MAX = 200 * 1024 * 1024;
const RECONNECT = { initialMs: 10, maxMs: 15_000, jitter: 0.2 };
const NACK_TEXT_MAX = 4096;

/** One response, understood: apply it whole before anything else is decided. */
export interface DeltaUpdate {
  readonly type: ResourceType;
  readonly upserts: readonly MeshObject[];
  /** Names of resources that are gone. */
  readonly removals: readonly string[];
  /** What could not be understood. */
  readonly rejected: readonly ResourceRejected[];
}

/** A resource of an update that the receiver did not take, by its name of xDS. */
export interface RefusedResource {
  readonly name: string;
  readonly reason: string;
}

/** A resource as it came, for the cache. */
export interface ReceivedResource {
  readonly type: ResourceType;
  readonly name: string;
  /** "" when it was not taken and nothing older of that name is in force. */
  readonly version: string;
  readonly bytes: Uint8Array;
}

/** Keeps what was received across restarts. */
export interface ReceivedStore {
  record(type: ResourceType, received: readonly ReceivedResource[], removals: readonly string[]): void;
}

export interface DeltaClientOptions {
  readonly controlPlane: ControlPlane;
  readonly clusterId: string;
  readonly node: DiscoveryNode;
  /** Takes an update and returns what it would not have: that is neither acknowledged nor kept. */
  readonly sink: (update: DeltaUpdate) => readonly RefusedResource[];
  readonly store: ReceivedStore;
  /** Called with the first response on a stream. */
  readonly onAnswered?: () => void;
  /** A stream ended, with the name of its status. */
  readonly onEnded?: (code: string) => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly random?: () => number;
}

/** Who asks; the forms are those of a ztunnel, so that istiod serves it too. */
export interface DiscoveryNode {
  readonly node: string;
  readonly address: string;
  readonly podName: string;
  readonly podNamespace: string;
}

export interface DeltaClientCounters {
  connects: number;
  failures: number;
  responses: number;
  acks: number;
  nacks: number;
  rejectedResources: number;
}

/** No version of a control plane's: what has it is sent again, or told to be gone. */
const NOT_TAKEN = '';

/** Names of one type. */
interface KnownNames {
  /** Of what is in force. */
  readonly versions: Map<string, string>;
  /** What was rejected last, whether or not something older is in force. */
  readonly rejected: Set<string>;
}

type Call = ClientDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

type State =
  | { readonly kind: 'waiting'; readonly lastError: string; readonly abort: Cancel }
  | { readonly kind: 'open'; readonly answered: Set<ResourceType>; readonly abort: Cancel }
  | { readonly kind: 'closed'; readonly abort: Cancel };

export interface DeltaClientStatus {
  readonly state: State['kind'];
  /** Every type has been answered on this stream. */
  readonly synced: boolean;
  /** When the stream that was synced last was last heard of; `undefined` when none has been. */
  readonly syncedMs: number | undefined;
  readonly lastError: string;
}

/** The agent's side of delta xDS: delivers what it understands, in order, and reports what it does not. */
export class DeltaClient {
  readonly counters: DeltaClientCounters = {
    connects: 0,
    failures: 0,
    responses: 0,
    acks: 0,
    nacks: 0,
    rejectedResources: 0,
  };
  readonly #options: DeltaClientOptions;
  readonly #backoff: Backoff;
  readonly #outage: QuietLog;
  #syncedMs: number | undefined;
  readonly #known = new Map<ResourceType, KnownNames>(
    RESOURCE_TYPES.map((type) => [type, { versions: new Map(), rejected: new Set() }]),
  );
  #state: State = { kind: 'waiting', lastError: '', abort: nothing };

  constructor(options: DeltaClientOptions) {
    this.#options = options;
    this.#backoff = new Backoff(RECONNECT, options.random);
    this.#outage = new QuietLog(options.clock);
  }

  /** Starts from what an earlier run received; call before `open`. What cannot be read any more is asked for anew. */
  restore(resources: readonly ReceivedResource[]): void {
    for (const type of RESOURCE_TYPES) {
      const known = this.#knownOf(type);
      const upserts: MeshObject[] = [];
      const rejected: ResourceRejected[] = [];
      for (const { name, version, bytes } of resources.filter((resource) => resource.type === type)) {
        const object = decodeObject(type, name, bytes, upserts.length);
        if (object.kind === 'rejected') {
          rejected.push(object);
          continue;
        }
        upserts.push(object);
        known.versions.set(name, version);
      }
      if (upserts.length + rejected.length === 0) continue;
      const refused = this.#options.sink({ type, upserts, removals: [], rejected });
      for (const { name, reason } of [...rejected, ...refused]) {
        this.#options.log.error('stored resource rejected', { type, name, reason });
        known.versions.delete(name);
        known.rejected.add(name);
      }
    }
  }

  open(): void {
    this.#connect();
  }

  /** The control plane is there again: what is left of a pause is not waited for. Not before `open`. */
  hurry(): void {
    if (this.#state.kind === 'waiting' && this.#state.lastError !== '') this.#connect();
  }

  close(): void {
    this.#setState({ kind: 'closed', abort: nothing });
  }

  status(): DeltaClientStatus {
    const state = this.#state;
    const synced = this.#isSynced();
    return {
      state: state.kind,
      synced,
      syncedMs: synced ? this.#options.clock.nowMs() : this.#syncedMs,
      lastError: state.kind === 'waiting' ? state.lastError : '',
    };
  }

  // The transport is watched by keepalives: for as long as a synced stream stands, what we have is what there is.
  #isSynced(): boolean {
    return this.#state.kind === 'open' && this.#state.answered.size === RESOURCE_TYPES.length;
  }

  #setState(state: State): void {
    if (this.#isSynced()) this.#syncedMs = this.#options.clock.nowMs();
    const before = this.#state;
    this.#state = state;
    before.abort();
  }

  #connect(): void {
    const { clock } = this.#options;
    this.counters.connects += 1;
    try {
      const { client, call } = this.#dial();
      const answered = new Set<ResourceType>();
      const isCurrent = (): boolean => this.#state.kind === 'open' && this.#state.answered === answered;
      const fail = (error: StreamError): void => {
        if (isCurrent()) this.#waitAfter(error, answered.size > 0);
      };
      const silence = clock.setTimer(FIRST_ANSWER_MS, () => {
        if (answered.size === 0) fail(silenceError());
      });
      const abort = (): void => {
        silence();
        call.cancel();
        client.close();
      };
      this.#setState({ kind: 'open', answered, abort });
      call.on('data', (response: DeltaDiscoveryResponse) => {
        if (!isCurrent()) return;
        this.#receive(call, response, answered);
      });
      call.on('error', (error) => fail(fromGrpcStatus(error)));
      call.on('end', () => fail(new StreamError('UNAVAILABLE', 'the control plane ended the stream', true)));
      for (const type of RESOURCE_TYPES) call.write(this.#firstRequest(type));
    } catch (error) {
      this.#waitAfter(fromGrpcStatus(error), false);
    }
  }

  #dial(): { client: AggregatedDiscoveryServiceClient; call: Call } {
    const { controlPlane } = this.#options;
    const { address, credentials, options } = controlPlane.dial();
    const client = new AggregatedDiscoveryServiceClient(address, credentials, {
      ...options,
      'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
      'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
    });
    return { client, call: client.deltaAggregatedResources(controlPlane.callMetadata()) };
  }

  #waitAfter(error: StreamError, hadAnswer: boolean): void {
    const { clock, log } = this.#options;
    this.counters.failures += 1;
    // Only a server that has answered before is one that merely moved on; another would be asked in a tight loop.
    if (error.routine && hadAnswer) this.#backoff.reset();
    this.#options.onEnded?.(error.code);
    const delayMs = this.#backoff.next();
    this.#outage.say((unsaid) => {
      log.warn('discovery stream ended', {
        code: error.code,
        reason: error.detail,
        retry_ms: Math.round(delayMs),
        failures: this.counters.failures,
        unsaid,
      });
    });
    const abort = clock.setTimer(delayMs, () => this.#connect());
    this.#setState({ kind: 'waiting', lastError: error.message, abort });
  }

  #receive(call: Call, response: DeltaDiscoveryResponse, answered: Set<ResourceType>): void {
    const { typeUrl: type, nonce } = response;
    this.counters.responses += 1;
    if (!isResourceType(type)) {
      this.counters.nacks += 1;
      call.write(toAnswer(type, nonce, `${type} was not asked for`));
      return;
    }
    const rejected = this.#apply(type, response);
    if (!answered.has(type)) {
      if (answered.size === 0) this.#options.onAnswered?.();
      answered.add(type);
      this.#backoff.reset();
      this.#outage.reset();
    }
    if (rejected.length === 0) {
      this.counters.acks += 1;
      call.write(toAnswer(type, nonce, ''));
      return;
    }
    this.counters.nacks += 1;
    this.counters.rejectedResources += rejected.length;
    for (const { name, index, reason } of rejected)
      this.#options.log.error('resource rejected', { type, name, index, reason });
    const text = rejected.map(({ name, index, reason }) => `${name} [${index}]: ${reason}`).join('\n');
    call.write(toAnswer(type, nonce, text.slice(0, NACK_TEXT_MAX)));
  }

  // Of what is rejected the last good form and version stay.
  #apply(type: ResourceType, response: DeltaDiscoveryResponse): ResourceRejected[] {
    const known = this.#knownOf(type);
    const upserts: MeshObject[] = [];
    const rejected: ResourceRejected[] = [];
    const indexOf = new Map<string, number>();
    for (const [index, resource] of response.resources.entries()) {
      const object = readResource(type, resource, index);
      if (object.kind === 'rejected') rejected.push(object);
      else upserts.push(object);
      indexOf.set(resource.name, index);
    }
    // A name that was asked for and never known is reported as removed, too: nothing to do then.
    const removals = response.removedResources.filter((name) => {
      const wasRejected = known.rejected.delete(name);
      return known.versions.delete(name) || wasRejected;
    });
    if (response.resources.length === 0 && removals.length === 0) return rejected;
    const refused = this.#options.sink({ type, upserts, removals, rejected });
    const notTaken = new Set([...rejected, ...refused].map(({ name }) => name));
    const kept: ReceivedResource[] = [];
    for (const { name, version, resource } of response.resources) {
      const bytes = resource?.value ?? new Uint8Array();
      if (!notTaken.has(name)) {
        known.versions.set(name, version);
        known.rejected.delete(name);
        kept.push({ type, name, version, bytes });
        continue;
      }
      known.rejected.add(name);
      // The next run must know, too, that it is there and not understood.
      if (!known.versions.has(name)) kept.push({ type, name, version: NOT_TAKEN, bytes });
    }
    this.#options.store.record(type, kept, removals);
    for (const { name, reason } of refused) {
      const index = indexOf.get(name) ?? -1;
      rejected.push({ kind: 'rejected', type, name, index, reason, remains: nameOnly(type, name) });
    }
    return rejected;
  }

  #firstRequest(typeUrl: ResourceType): DeltaDiscoveryRequest {
    const { versions, rejected } = this.#knownOf(typeUrl);
    const { node, clusterId } = this.#options;
    const { address, podName, podNamespace } = node;
    return DeltaDiscoveryRequest.fromPartial({
      typeUrl,
      // What was not taken is named, too, so that its removal is told.
      initialResourceVersions: Object.fromEntries([
        ...[...rejected].map((name) => [name, NOT_TAKEN] as const),
        ...versions,
      ]),
      node: {
        id: `ztunnel~${address}~${podName}.${podNamespace}~${podNamespace}.svc.cluster.local`,
        metadata: {
          NAME: podName,
          NAMESPACE: podNamespace,
          INSTANCE_IPS: address,
          NODE_NAME: node.node,
          CLUSTER_ID: clusterId,
        },
      },
    });
  }

  #knownOf(type: ResourceType): KnownNames {
    const known = this.#known.get(type);
    if (known === undefined) throw new Error(`nothing is kept of ${type}`);
    return known;
  }
}

function readResource(type: ResourceType, { name, resource }: Resource, index: number): MeshObject | ResourceRejected {
  if (resource?.typeUrl !== type) {
    const reason = `content is of type ${JSON.stringify(resource?.typeUrl ?? '')}`;
    return { kind: 'rejected', type, name, index, reason, remains: nameOnly(type, name) };
  }
  return decodeObject(type, name, resource.value, index);
}

function toAnswer(typeUrl: string, responseNonce: string, problem: string): DeltaDiscoveryRequest {
  return DeltaDiscoveryRequest.fromPartial({
    typeUrl,
    responseNonce,
    ...(problem !== '' && { errorDetail: { code: 0, message: problem } }),
  });
}

function nothing(): void {}
