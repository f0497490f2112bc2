// SPDX-License-Identifier: Apache-2.0

// Loaded where pods come from Kubernetes and nowhere else: it brings the readers of its objects.

import { DEFAULT_ENROLMENT_SETTINGS } from '../compile/enrolment.ts';
import { readApiServer } from '../config/env.ts';
import type { Config } from '../config/table.ts';
import { apiAccess } from '../kubernetes/api-access.ts';
import { ApiClient } from '../kubernetes/api-client.ts';
import { RedirectionAnnotation } from '../kubernetes/redirection-annotation.ts';
import type { WatchCounters } from '../kubernetes/reflector.ts';
import type { Clock } from '../model/clock.ts';
import { KubernetesPods } from '../pods/kubernetes-pods.ts';
import type { PodManager } from '../pods/pod-manager.ts';
import type { Logger } from '../telemetry/logger.ts';

/** The pods of the API server, and what it is told of them. */
export interface Enrolment {
  readonly source: KubernetesPods;
  readonly counters: { readonly api: WatchCounters; readonly annotation: RedirectionAnnotation['counters'] };
  say(uid: string, captured: boolean): void;
  close(): void;
}

/** This node, as the API server knows it. */
export interface KubernetesNode {
  /** Follows nothing before its source is opened. */
  enrol(pods: PodManager): Enrolment;
  close(): void;
}

/** Throws `AccessError` where the API server cannot be asked. */
export async function openKubernetesNode(
  { node, kubernetes }: Config<'node' | 'kubernetes'>,
  clock: Clock,
  log: Logger,
): Promise<KubernetesNode> {
  const client = new ApiClient(await apiAccess(kubernetes.kubeconfig, readApiServer()));
  return { enrol: (pods) => openEnrolment(node.name, client, pods, clock, log), close: () => client.close() };
}

function openEnrolment(node: string, client: ApiClient, pods: PodManager, clock: Clock, log: Logger): Enrolment {
  const annotation = new RedirectionAnnotation(client, clock, log);
  const source = new KubernetesPods({
    client,
    node,
    settings: DEFAULT_ENROLMENT_SETTINGS,
    pods,
    forget: (uid) => annotation.forget(uid),
    clock,
    log,
  });
  return {
    source,
    counters: { api: source.counters, annotation: annotation.counters },
    say: (uid, captured) => {
      const pod = pods.find(uid);
      if (pod !== undefined) annotation.say(uid, pod.spec, captured);
    },
    close: () => {
      source.close();
      annotation.close();
    },
  };
}
