// SPDX-License-Identifier: Apache-2.0

// 1. `publish` takes what changed of the mesh, and marks it in each subscription.
// 2. A short pause gathers further changes; then each stream is looked at.
// 3. A stream has at most one response of a type on its way. Its ACK or NACK lets the next one go.
// 4. Policies that there are go first, then workloads and Services, then policies that are gone: a workload never names a
//    policy that its node does not have yet, or no longer has. A node that meets one refuses the connection.

import type { ServerDuplexStream } from '@grpc/grpc-js';
import { status } from '@grpc/grpc-js';
import type { Cancel, Clock } from '../model/clock.ts';
import type { Log } from '../model/log.ts';
import {
  type AggregatedDiscoveryServiceServer,
  AggregatedDiscoveryServiceService,
  type DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from '../wire/envoy/discovery.ts';
import {
  ADDRESS_TYPE,
  AUTHORIZATION_TYPE,
  isResourceType,
  RESOURCE_TYPES,
  type ResourceChanges,
  type ResourceType,
} from './resource.ts';
import { ResourceTable } from './resource-table.ts';
import { type DeltaBatch, type DeltaPart, Subscription } from './subscription.ts';

export interface DeltaServerOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Changes within this time go out together. Default 10. */
  readonly coalesceMs?: number;
  /** A client that does not answer a response for this long is cut off and has to come back. Default 60 s. */
  readonly ackTimeoutMs?: number;
  /** A client asks for one type right after the other; one that does not is not waited for longer. Default 100. */
  readonly typesWaitMs?: number;
}

/** Responses of one type, and what became of them. */
export interface TypeCounters {
  pushes: number;
  acks: number;
  nacks: number;
}

export interface DeltaServerCounters {
  streams: number;
  slowClients: number;
  unknownTypes: number;
}

type Call = ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

interface TypeState {
  readonly subscription: Subscription;
  /** The response that waits for its ACK. */
  outstanding: { readonly nonce: string; readonly cancel: Cancel } | undefined;
}

interface Stream {
  readonly call: Call;
  node: string;
  readonly types: Map<ResourceType, TypeState>;
  /** Runs out when the client has had its time to ask for every type; `undefined` from then on. */
  cancelTypesWait: Cancel | undefined;
}

/** Serves the mesh by delta xDS to our agents and to a stock ztunnel. */
export class DeltaServer {
  readonly definition = AggregatedDiscoveryServiceService;
  readonly implementation: AggregatedDiscoveryServiceServer;
  readonly counters: DeltaServerCounters = {
    streams: 0,
    slowClients: 0,
    unknownTypes: 0,
  };
  readonly typeCounters: Readonly<Record<ResourceType, TypeCounters>> = {
    [ADDRESS_TYPE]: { pushes: 0, acks: 0, nacks: 0 },
    [AUTHORIZATION_TYPE]: { pushes: 0, acks: 0, nacks: 0 },
  };
  readonly #options: DeltaServerOptions;
  readonly #tables = new Map<ResourceType, ResourceTable>(RESOURCE_TYPES.map((type) => [type, new ResourceTable()]));
  readonly #streams = new Set<Stream>();
  #cancelFlush: Cancel | undefined;
  #nonces = 0;

  constructor(options: DeltaServerOptions) {
    this.#options = options;
    this.implementation = { deltaAggregatedResources: (call) => this.#accept(call) };
  }

  /** Streams that are open at present. */
  get clients(): number {
    return this.#streams.size;
  }

  /** Takes in what changed of the mesh. A resource of the version that it had is not sent again. */
  publish({ upserts, removals }: ResourceChanges): void {
    for (const [type, table] of this.#tables) {
      const changed = table.apply(
        upserts.filter((resource) => resource.type === type),
        removals.flatMap((resource) => (resource.type === type ? [resource.name] : [])),
      );
      if (changed.size === 0) continue;
      for (const stream of this.#streams) stream.types.get(type)?.subscription.touch(changed);
    }
    this.#cancelFlush ??= this.#options.clock.setTimer(this.#options.coalesceMs ?? 10, () => {
      this.#cancelFlush = undefined;
      for (const stream of this.#streams) this.#push(stream);
    });
  }

  close(): void {
    this.#cancelFlush?.();
    for (const stream of this.#streams) {
      stream.call.end();
      this.#forget(stream);
    }
  }

  #accept(call: Call): void {
    const stream: Stream = { call, node: '', types: new Map(), cancelTypesWait: undefined };
    stream.cancelTypesWait = this.#options.clock.setTimer(this.#options.typesWaitMs ?? 100, () => {
      stream.cancelTypesWait = undefined;
      this.#push(stream);
    });
    this.#streams.add(stream);
    this.counters.streams += 1;
    call.on('data', (request: DeltaDiscoveryRequest) => this.#receive(stream, request));
    call.on('end', () => {
      this.#forget(stream);
      call.end();
    });
    call.on('cancelled', () => this.#forget(stream));
    call.on('error', () => this.#forget(stream));
  }

  #forget(stream: Stream): void {
    this.#streams.delete(stream);
    stream.cancelTypesWait?.();
    for (const state of stream.types.values()) state.outstanding?.cancel();
  }

  #receive(stream: Stream, request: DeltaDiscoveryRequest): void {
    if (request.node !== undefined && stream.node === '') {
      stream.node = request.node.id;
      this.#options.log.info('discovery client connected', { node: stream.node });
    }
    const { typeUrl } = request;
    if (!isResourceType(typeUrl)) {
      // Another client's types are no error: it is told that there is nothing of that type, by silence, as istiod does.
      this.counters.unknownTypes += 1;
      this.#options.log.warn('discovery client asks for an unknown type', { node: stream.node, type: typeUrl });
      return;
    }
    const state = stream.types.get(typeUrl);
    if (state === undefined) this.#openType(stream, typeUrl, request);
    else this.#updateType(stream, typeUrl, state, request);
    this.#push(stream);
  }

  #openType(stream: Stream, type: ResourceType, request: DeltaDiscoveryRequest): void {
    const subscription = new Subscription(this.#table(type));
    subscription.open(
      request.resourceNamesSubscribe,
      request.resourceNamesUnsubscribe,
      request.initialResourceVersions,
    );
    stream.types.set(type, { subscription, outstanding: undefined });
  }

  #updateType(stream: Stream, type: ResourceType, state: TypeState, request: DeltaDiscoveryRequest): void {
    const { outstanding } = state;
    if (outstanding !== undefined && request.responseNonce === outstanding.nonce) {
      outstanding.cancel();
      state.outstanding = undefined;
      if (request.errorDetail === undefined) {
        this.typeCounters[type].acks += 1;
      } else {
        // Not sent again until it changes: the client would only reject it again, at full speed.
        this.typeCounters[type].nacks += 1;
        this.#options.log.error('discovery client rejected resources', {
          node: stream.node,
          type,
          reason: request.errorDetail.message.slice(0, 4096),
        });
      }
    }
    state.subscription.update(request.resourceNamesSubscribe, request.resourceNamesUnsubscribe);
  }

  #push(stream: Stream): void {
    const mayAskForMore = stream.cancelTypesWait !== undefined;
    const isAhead = (type: ResourceType, part: DeltaPart): boolean =>
      stream.types.get(type)?.subscription.owes(part) ?? mayAskForMore;
    this.#pushPart(stream, AUTHORIZATION_TYPE, 'upserts');
    if (!isAhead(AUTHORIZATION_TYPE, 'upserts')) this.#pushPart(stream, ADDRESS_TYPE, 'all');
    if (!isAhead(ADDRESS_TYPE, 'all')) this.#pushPart(stream, AUTHORIZATION_TYPE, 'all');
  }

  #pushPart(stream: Stream, type: ResourceType, part: DeltaPart): void {
    const state = stream.types.get(type);
    if (state === undefined || state.outstanding !== undefined) return;
    const batch = state.subscription.take(part);
    if (batch === undefined) return;
    const { clock, ackTimeoutMs = 60_000 } = this.#options;
    this.#nonces += 1;
    const nonce = String(this.#nonces);
    state.outstanding = { nonce, cancel: clock.setTimer(ackTimeoutMs, () => this.#cutOff(stream, type)) };
    this.typeCounters[type].pushes += 1;
    stream.call.write(toResponse(type, nonce, batch));
  }

  #cutOff(stream: Stream, type: ResourceType): void {
    this.counters.slowClients += 1;
    this.#options.log.warn('discovery client does not answer, cut off', { node: stream.node, type });
    this.#forget(stream);
    stream.call.emit('error', { code: status.DEADLINE_EXCEEDED, details: `no ACK of ${type} in time; connect again` });
  }

  #table(type: ResourceType): ResourceTable {
    const table = this.#tables.get(type);
    if (table === undefined) throw new Error(`no table for ${type}`);
    return table;
  }
}

function toResponse(typeUrl: ResourceType, nonce: string, { resources, removed }: DeltaBatch): DeltaDiscoveryResponse {
  return DeltaDiscoveryResponse.fromPartial({
    typeUrl,
    nonce,
    resources: resources.map(({ name, aliases, version, bytes }) => ({
      name,
      aliases: [...aliases],
      version,
      resource: { typeUrl, value: Buffer.from(bytes) },
    })),
    removedResources: [...removed],
  });
}
