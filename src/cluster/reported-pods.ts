// SPDX-License-Identifier: Apache-2.0

import { isDeepStrictEqual } from 'node:util';
import type { CaptureDecision } from '../compile/enrolment.ts';
import type { CaptureDecision as PodDecision } from '../discovery/pod-report.ts';
import type { RegisteredPod } from '../discovery/pod-table.ts';
import type { FileChanges } from '../objects/in-force.ts';
import { objectKey } from '../objects/object-meta.ts';
import type { ObjectSnapshot } from '../objects/object-store.ts';
import type { MeshObject, NamespaceObject, PodObject } from '../objects/objects.ts';
import { formatProblem, type Notice, noticeText } from '../objects/problem.ts';
import { type ParsedManifest, readObjects } from '../objects/read-objects.ts';
import { type TellingChanges, Tellings } from '../objects/tellings.ts';

/** What the reports of the nodes amount to, where that is something else than before. */
export interface PodUpdate {
  /** The pods as ordinary objects, for the same compiler that manifests go through; one a pod, by the name of its file. */
  readonly manifests: FileChanges;
  readonly decisions: readonly PodDecision[];
  /** What the decisions say of single pods, too. */
  readonly notices: TellingChanges<Notice>;
  readonly refused: readonly { readonly uid: string; readonly reason: string }[];
}

export type DecideCapture = (pod: PodObject, namespace: NamespaceObject | undefined) => CaptureDecision;

interface ReadPod {
  readonly pod: RegisteredPod;
  readonly manifest: ParsedManifest;
}

/**
 * Turns the pods that nodes report into Pod objects, and decides which of them belong to the mesh.
 *
 * A pod is said to speak HBONE once its node has captured it and for as long as it is to stay captured: a pod that
 * leaves is no longer dialled through the mesh before its node lets it go. A pod is looked at when it changes, and when
 * its namespace or its service account does.
 */
export class ReportedPods {
  readonly #decide: DecideCapture;
  readonly #read = new Map<string, ReadPod>();
  readonly #byNamespace = new Map<string, Set<string>>();
  readonly #notices = new Tellings<Notice>(noticeText);

  constructor(decide: DecideCapture) {
    this.#decide = decide;
  }

  /** `pods` by uid, `undefined` = gone; `changed`: objects that are others in `objects` now, in any version. */
  update(
    pods: ReadonlyMap<string, RegisteredPod | undefined>,
    changed: readonly MeshObject[],
    objects: ObjectSnapshot,
  ): PodUpdate {
    const concerned = new Map(pods);
    for (const pod of this.#concernedBy(changed)) if (!concerned.has(pod.uid)) concerned.set(pod.uid, pod);
    const manifests = new Map<string, ParsedManifest | undefined>();
    const decisions: PodDecision[] = [];
    const refused: { uid: string; reason: string }[] = [];
    // First: another pod may have the name of one that is gone.
    for (const [uid, pod] of concerned) if (pod === undefined) this.#forget(uid, manifests);
    for (const pod of concerned.values()) {
      if (pod === undefined) continue;
      const before = this.#read.get(pod.uid);
      if (before !== undefined && fileOf(before.pod) !== fileOf(pod)) this.#forget(pod.uid, manifests);
      const plain = readPod(pod, false);
      const object = plain.objects[0]?.object;
      if (object?.kind !== 'Pod') {
        this.#forget(pod.uid, manifests);
        this.#keep(pod, plain);
        refused.push({ uid: pod.uid, reason: plain.problems.map(formatProblem).join('; ') });
        manifests.set(plain.file, plain);
        continue;
      }
      const namespace = objects.find('Namespace', '', pod.namespace);
      const { captured, ...decision } = this.#decide(object, namespace);
      const missing = namespace === undefined ? noNamespace(pod, captured) : noAccount(pod, objects);
      this.#notices.set(
        pod.uid,
        missing.map((message) => toNotice(object, message)),
      );
      decisions.push({ uid: pod.uid, capture: captured, ...decision, notices: missing });
      const manifest = captured && pod.captured ? readPod(pod, true) : plain;
      this.#keep(pod, manifest);
      if (!isDeepStrictEqual(before?.manifest, manifest)) manifests.set(manifest.file, manifest);
    }
    return { manifests, decisions, notices: this.#notices.takeChanges(), refused };
  }

  *#concernedBy(changed: readonly MeshObject[]): Iterable<RegisteredPod> {
    for (const { kind, meta } of changed) {
      if (kind !== 'Namespace' && kind !== 'ServiceAccount') continue;
      const namespace = kind === 'Namespace' ? meta.name : meta.namespace;
      for (const uid of this.#byNamespace.get(namespace) ?? []) {
        const pod = this.#read.get(uid)?.pod;
        if (pod !== undefined && (kind === 'Namespace' || pod.serviceAccount === meta.name)) yield pod;
      }
    }
  }

  #keep(pod: RegisteredPod, manifest: ParsedManifest): void {
    this.#read.set(pod.uid, { pod, manifest });
    const uids = this.#byNamespace.get(pod.namespace) ?? new Set();
    this.#byNamespace.set(pod.namespace, uids.add(pod.uid));
  }

  #forget(uid: string, manifests: Map<string, ParsedManifest | undefined>): void {
    const known = this.#read.get(uid);
    if (known === undefined) return;
    this.#read.delete(uid);
    this.#byNamespace.get(known.pod.namespace)?.delete(uid);
    this.#notices.set(uid, []);
    manifests.set(known.manifest.file, undefined);
  }
}

function fileOf({ node, namespace, name }: RegisteredPod): string {
  return `node ${node}, pod ${namespace}/${name}`;
}

function readPod(pod: RegisteredPod, speaksHbone: boolean): ParsedManifest {
  return readObjects(fileOf(pod), [toObject(pod, speaksHbone)], () => 0);
}

// Kubernetes starts no pod in a namespace, or under an account, that is not there. Here both come into being with their
// first pod, so that a name that was mistyped is told.
function noNamespace({ namespace }: RegisteredPod, captured: boolean): readonly string[] {
  const outcome = captured ? 'no label of it counts' : 'the pod is outside the mesh';
  return [`namespace ${namespace} has no object in the manifests: ${outcome}`];
}

function noAccount({ namespace, serviceAccount }: RegisteredPod, objects: ObjectSnapshot): readonly string[] {
  // That one every namespace has.
  if (serviceAccount === 'default' || objects.find('ServiceAccount', namespace, serviceAccount) !== undefined)
    return [];
  const name = `${namespace}/${serviceAccount}`;
  return [`service account ${name} has no object in the manifests: the pod has its identity all the same`];
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
