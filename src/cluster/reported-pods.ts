// SPDX-License-Identifier: Apache-2.0

import type { CaptureDecision } from '../compile/enrolment.ts';
import type { CaptureDecision as PodDecision } from '../discovery/pod-report.ts';
import type { RegisteredPod } from '../discovery/pod-table.ts';
import { objectKey } from '../objects/object-meta.ts';
import type { ObjectSnapshot } from '../objects/object-store.ts';
import type { NamespaceObject, PodObject } from '../objects/objects.ts';
import { formatProblem, type Notice } from '../objects/problem.ts';
import { type ParsedManifest, readObjects } from '../objects/read-objects.ts';

/** What the reports of the nodes amount to. */
export interface PodUpdate {
  /** The pods as ordinary objects, for the same compiler that manifests go through; one a pod. */
  readonly manifests: readonly ParsedManifest[];
  readonly decisions: readonly PodDecision[];
  /** What the decisions say of single pods, too. */
  readonly notices: readonly Notice[];
  readonly refused: readonly { readonly uid: string; readonly reason: string }[];
}

export type DecideCapture = (pod: PodObject, namespace: NamespaceObject | undefined) => CaptureDecision;

interface ReadPod {
  readonly text: string;
  readonly manifest: ParsedManifest;
}

/**
 * Turns the pods that nodes report into Pod objects, and decides which of them belong to the mesh.
 *
 * A pod is said to speak HBONE once its node has captured it and for as long as it is to stay captured: a pod that
 * leaves is no longer dialled through the mesh before its node lets it go.
 */
export class ReportedPods {
  readonly #decide: DecideCapture;
  // A pod that did not change keeps its manifest, by which the store sees that nothing happened.
  #read = new Map<string, ReadPod>();

  constructor(decide: DecideCapture) {
    this.#decide = decide;
  }

  update(pods: readonly RegisteredPod[], objects: ObjectSnapshot): PodUpdate {
    const namespaces = new Map(objects.of('Namespace').map((namespace) => [namespace.meta.name, namespace]));
    const accounts = new Set(objects.of('ServiceAccount').map(({ meta }) => accountKey(meta.namespace, meta.name)));
    const notices: Notice[] = [];
    const read: Map<string, ReadPod> = new Map();
    const decisions: PodDecision[] = [];
    const refused: { uid: string; reason: string }[] = [];
    for (const pod of pods) {
      const plain = this.#parse(pod, false, read);
      const object = plain.objects[0]?.object;
      if (object?.kind !== 'Pod') {
        refused.push({ uid: pod.uid, reason: plain.problems.map(formatProblem).join('; ') });
        continue;
      }
      const namespace = namespaces.get(pod.namespace);
      const { captured, ...decision } = this.#decide(object, namespace);
      const missing = namespace === undefined ? noNamespace(pod, captured) : noAccount(pod, accounts);
      notices.push(...missing.map((message) => toNotice(object, message)));
      decisions.push({ uid: pod.uid, capture: captured, ...decision, notices: missing });
      this.#parse(pod, captured && pod.captured, read);
    }
    this.#read = read;
    return { manifests: [...read.values()].map(({ manifest }) => manifest), decisions, notices, refused };
  }

  #parse(pod: RegisteredPod, speaksHbone: boolean, read: Map<string, ReadPod>): ParsedManifest {
    const value = toObject(pod, speaksHbone);
    const text = JSON.stringify(value);
    const before = this.#read.get(pod.uid);
    const manifest =
      before?.text === text
        ? before.manifest
        : readObjects(`node ${pod.node}, pod ${pod.namespace}/${pod.name}`, [value], () => 0);
    read.set(pod.uid, { text, manifest });
    return manifest;
  }
}

// Kubernetes starts no pod in a namespace, or under an account, that is not there. Here both come into being with their
// first pod, so that a name that was mistyped is told.
function noNamespace({ namespace }: RegisteredPod, captured: boolean): readonly string[] {
  const outcome = captured ? 'no label of it counts' : 'the pod is outside the mesh';
  return [`namespace ${namespace} has no object in the manifests: ${outcome}`];
}

function noAccount({ namespace, serviceAccount }: RegisteredPod, accounts: ReadonlySet<string>): readonly string[] {
  // That one every namespace has.
  if (serviceAccount === 'default' || accounts.has(accountKey(namespace, serviceAccount))) return [];
  const name = accountKey(namespace, serviceAccount);
  return [`service account ${name} has no object in the manifests: the pod has its identity all the same`];
}

function accountKey(namespace: string, name: string): string {
  return `${namespace}/${name}`;
}

function toNotice({ kind, meta }: PodObject, message: string): Notice {
  return { code: 'OBJECT_MISSING', object: objectKey(kind, meta), message };
}

function toObject(pod: RegisteredPod, speaksHbone: boolean): unknown {
  const annotations = { ...pod.annotations };
  // Only capture itself may say this.
  delete annotations['ambient.istio.io/redirection'];
  if (speaksHbone) annotations['ambient.istio.io/redirection'] = 'enabled';
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: pod.name,
      namespace: pod.namespace,
      uid: pod.uid,
      labels: pod.labels,
      annotations,
      // That there is one is all that counts.
      ...(pod.terminating && { deletionTimestamp: new Date(0).toISOString() }),
    },
    spec: {
      nodeName: pod.node,
      serviceAccountName: pod.serviceAccount,
      ...(pod.subdomain && { hostname: pod.name, subdomain: pod.subdomain }),
      containers: [
        {
          name: 'main',
          ports: pod.containerPorts.map(({ name, port }) => ({ ...(name !== '' && { name }), containerPort: port })),
        },
      ],
    },
    status: {
      phase: 'Running',
      podIP: pod.ips[0],
      podIPs: pod.ips.map((ip) => ({ ip })),
      // Without a word about it a pod is ready.
      ...(pod.lostSinceMs !== undefined && { conditions: [{ type: 'Ready', status: 'False' }] }),
    },
  };
}
