// SPDX-License-Identifier: Apache-2.0

import type { ServerResponse } from 'node:http';
import { findProcess, type ProcessId } from '../host/process-id.ts';
import type { PodSpec, PodView } from '../pods/pod.ts';
import { PodRefused } from '../pods/pod-manager.ts';
import { type HttpAnswer, HttpError, type HttpRequest, type HttpRoute } from './http.ts';
import { parsePodRequest } from './pod-request.ts';

/** The pods as `groundwire run` uses them. */
export interface PodKeeper {
  /** Gives up, and leaves nothing, when the signal says that nobody waits for the pod any more. */
  create(spec: PodSpec, holder: ProcessId, signal: AbortSignal): Promise<PodView>;
  /** `false`: its connections are still drained, and it is gone after them. */
  end(uid: string): Promise<boolean>;
  find(uid: string): PodView | undefined;
  /** Its program is told to end: nobody new is sent to it. */
  terminate(uid: string): void;
  /** The one who held the pod let go of it. */
  checkHolder(uid: string): Promise<void>;
}

/** What starts and ends pods: only on the agent's socket, which only root can open. */
export function podRoutes(pods: PodKeeper, onError: (error: unknown) => void): readonly HttpRoute[] {
  return [
    { method: 'POST', path: '/v1/pods', handle: (request) => createPod(pods, request) },
    {
      method: 'GET',
      path: '/v1/pods/:uid/hold',
      handle: ({ params }, response) => holdPod(pods, params['uid'] ?? '', response, onError),
    },
    {
      method: 'POST',
      path: '/v1/pods/:uid/terminate',
      handle: ({ params }) => {
        const uid = params['uid'] ?? '';
        requirePod(pods, uid);
        pods.terminate(uid);
        return { status: 200, json: {} };
      },
    },
    {
      method: 'DELETE',
      path: '/v1/pods/:uid',
      handle: async ({ params }) => {
        const uid = params['uid'] ?? '';
        requirePod(pods, uid);
        return { status: (await pods.end(uid)) ? 200 : 202, json: {} };
      },
    },
  ];
}

async function createPod(pods: PodKeeper, request: HttpRequest): Promise<HttpAnswer> {
  const { spec, holderPid } = parsePodRequest(await request.readJson());
  const holder = await findProcess(holderPid);
  if (holder === undefined) throw new HttpError(400, `process ${holderPid}, which is to hold the pod, does not run`);
  try {
    const pod = await pods.create(spec, holder, request.gone);
    const { uid, sandbox, state, decision } = pod;
    const notices = decision?.notices ?? [];
    return { status: 201, json: { uid, addresses: sandbox.addresses, state: state.kind, sandbox, notices } };
  } catch (error) {
    if (!(error instanceof PodRefused)) throw error;
    throw new HttpError(error.reason === 'conflict' ? 409 : 503, error.message);
  }
}

function requirePod(pods: PodKeeper, uid: string): void {
  if (pods.find(uid) === undefined) throw new HttpError(404, `there is no pod ${uid}`);
}

/** Answers at once and never ends: that the connection breaks says that the holder let go. */
function holdPod(
  pods: PodKeeper,
  uid: string,
  response: ServerResponse,
  onError: (error: unknown) => void,
): HttpAnswer {
  requirePod(pods, uid);
  response.writeHead(200, { 'content-type': 'application/json' });
  response.flushHeaders();
  response.on('close', () => {
    pods.checkHolder(uid).catch(onError);
  });
  return 'taken';
}
