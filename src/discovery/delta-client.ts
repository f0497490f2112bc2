// SPDX-License-Identifier: Apache-2.0

// The stream over which a node hears of the mesh. It is synced once each type has been answered on it; what was received
// stays in force whatever becomes of it (fail-static).

import type { Clock } from '../model/clock.ts';
import type { Log } from '../model/log.ts';
import {
  AggregatedDiscoveryServiceClient,
  DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  type Resource,
} from '../wire/envoy/discovery.ts';
import type { ControlPlane } from './control-plane.ts';
import { decodeObject } from './decode.ts';
import { nameOnly } from './remains.ts';
import {
  isResourceType,
  type MeshObject,
  RESOURCE_TYPES,
  type ResourceRejected,
  type ResourceType,
} from './resource.ts';
import { type DialledStream, StreamKeeper, type StreamStatus } from './stream-keeper.ts';

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
  /** Each response to what was asked for, empty or rejected ones too; `bytes` are those of its resources. */
  readonly onResponse?: (type: ResourceType, bytes: number) => void;
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

export interface DeltaClientStatus extends StreamStatus {
  /** Every type has been answered on this stream. */
  readonly synced: boolean;
  /** When the stream that was synced last was last heard of; `undefined` when none has been. */
  readonly syncedMs: number | undefined;
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
  readonly #stream: StreamKeeper<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;
  /** On the stream that is open. */
  readonly #answered = new Set<ResourceType>();
  #syncedMs: number | undefined;
  readonly #known = new Map<ResourceType, KnownNames>(
    RESOURCE_TYPES.map((type) => [type, { versions: new Map(), rejected: new Set() }]),
  );

  constructor(options: DeltaClientOptions) {
    const { clock, log, random } = options;
    this.#options = options;
    this.#stream = new StreamKeeper({
      dial: () => this.#dial(),
      greet: () => {
        for (const type of RESOURCE_TYPES) this.#stream.write(this.#firstRequest(type));
      },
      receive: (response) => this.#receive(response),
      onEnded: ({ code }) => {
        this.#noteSync();
        this.#answered.clear();
        options.onEnded?.(code);
      },
      ended: { message: 'discovery stream ended', reconnect: RECONNECT },
      standingMs: 0,
      counters: this.counters,
      clock,
      log,
      random,
    });
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
    this.#stream.open();
  }

  /** The control plane is there again: what is left of a pause is not waited for. Not before `open`. */
  hurry(): void {
    this.#stream.hurry();
  }

  close(): void {
    this.#noteSync();
    this.#stream.close();
  }

  status(): DeltaClientStatus {
    this.#noteSync();
    return { ...this.#stream.status(), synced: this.#isSynced(), syncedMs: this.#syncedMs };
  }

  // The transport is watched by keepalives: for as long as a synced stream stands, what we have is what there is.
  #isSynced(): boolean {
    return this.#stream.status().state === 'open' && this.#answered.size === RESOURCE_TYPES.length;
  }

  #noteSync(): void {
    if (this.#isSynced()) this.#syncedMs = this.#options.clock.nowMs();
  }

  #dial(): DialledStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse> {
    const { controlPlane } = this.#options;
    const { address, credentials, options } = controlPlane.dial();
    const client = new AggregatedDiscoveryServiceClient(address, credentials, {
      ...options,
      'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
      'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
    });
    return { client, call: client.deltaAggregatedResources(controlPlane.callMetadata()) };
  }

  #receive(response: DeltaDiscoveryResponse): void {
    const { typeUrl: type, nonce } = response;
    this.counters.responses += 1;
    if (!isResourceType(type)) {
      this.counters.nacks += 1;
      this.#stream.write(toAnswer(type, nonce, `${type} was not asked for`));
      return;
    }
    this.#options.onResponse?.(
      type,
      response.resources.reduce((sum, { resource }) => sum + (resource?.value.length ?? 0), 0),
    );
    const rejected = this.#apply(type, response);
    if (this.#answered.size === 0) {
      this.#stream.onAnswered();
      this.#options.onAnswered?.();
    }
    this.#answered.add(type);
    if (rejected.length === 0) {
      this.counters.acks += 1;
      this.#stream.write(toAnswer(type, nonce, ''));
      return;
    }
    this.counters.nacks += 1;
    this.counters.rejectedResources += rejected.length;
    for (const { name, index, reason } of rejected)
      this.#options.log.error('resource rejected', { type, name, index, reason });
    const text = rejected.map(({ name, index, reason }) => `${name} [${index}]: ${reason}`).join('\n');
    this.#stream.write(toAnswer(type, nonce, text.slice(0, NACK_TEXT_MAX)));
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
