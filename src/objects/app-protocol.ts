// SPDX-License-Identifier: Apache-2.0

import type { AppProtocol } from '../model/service.ts';
import type { Protocol } from './objects.ts';

const BY_NAME: Readonly<Record<string, AppProtocol>> = {
  http: 'HTTP11',
  http2: 'HTTP2',
  grpc: 'GRPC',
  tcp: 'TCP',
  tls: 'TLS',
  https: 'TLS',
  'kubernetes.io/h2c': 'HTTP2',
  'kubernetes.io/ws': 'HTTP11',
  'kubernetes.io/wss': 'TLS',
};

/**
 * What a port speaks: its `appProtocol`, else the part of its name before the first dash. Anything else is UNKNOWN.
 *
 * Source: istio pilot/pkg/serviceregistry/ambient/services.go @86c9f01; values confirmed by the recorded resources.
 */
export function resolveAppProtocol(protocol: Protocol, name: string, appProtocol?: string): AppProtocol {
  if (protocol !== 'TCP') return 'UNKNOWN';
  const word = (appProtocol ?? name.split('-', 1)[0] ?? '').toLowerCase();
  return Object.hasOwn(BY_NAME, word) ? BY_NAME[word]! : 'UNKNOWN';
}
