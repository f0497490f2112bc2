// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from 'node:tls';
import { SettingError } from '#src/config/setting-error.ts';
import { Authentication } from '#src/discovery/authentication.ts';
import { GrpcConnections } from '#src/discovery/grpc-connections.ts';
import { GrpcServer } from '#src/discovery/grpc-server.ts';
import { CertificateAuthority } from '#src/identity/certificate-authority.ts';
import { issueServerCertificate } from '#src/identity/server-certificate.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';
import { recordingLog, temporaryFolder, until } from './loopback.ts';

const HOUR_MS = 3_600_000;

function noServices() {
  const clock = new ManualClock();
  const { log } = recordingLog();
  const authentication = new Authentication(() => ({ kind: 'rejected', reason: 'nobody' }), clock, log);
  return { services: [], authentication, connections: new GrpcConnections(clock, log) };
}

/** The certificate that a new connection is shown; its time is that of the clock moved by hand, so it is not judged here. */
function shownCertificate(port: number): Promise<{ serialNumber: string; names: string | undefined }> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] }, () => {
      const { serialNumber, subjectaltname } = socket.getPeerCertificate();
      socket.destroy();
      resolve({ serialNumber, names: subjectaltname });
    });
    socket.on('error', reject);
  });
}

test('grpc server: its certificate has names and addresses, renews itself, and survives a failed renewal', async (t) => {
  const clock = new ManualClock();
  const { log, lines } = recordingLog();
  const authority = await CertificateAuthority.open({
    stateDir: temporaryFolder(t),
    trustDomain: 'cluster.local',
    clock,
  });
  let down = false;
  const server = await GrpcServer.open({
    ...noServices(),
    listen: { host: '127.0.0.1', port: 0 },
    issueCertificate: () => {
      if (down) return Promise.reject(new Error('no disk'));
      return issueServerCertificate(authority, ['control.mesh', '127.0.0.1'], HOUR_MS);
    },
    clock,
    log,
  });
  t.after(() => server.close());
  const first = await shownCertificate(server.port);
  assert.equal(first.names, 'DNS:control.mesh, IP Address:127.0.0.1');
  down = true;
  clock.advance(HOUR_MS / 2);
  await until('the failure is told', () => lines.some(({ message }) => message === 'server certificate not renewed'));
  assert.equal((await shownCertificate(server.port)).serialNumber, first.serialNumber);
  down = false;
  clock.advance(10_000);
  await until('renewed', () => lines.some(({ message }) => message === 'server certificate renewed'));
  assert.notEqual((await shownCertificate(server.port)).serialNumber, first.serialNumber);
});

test('grpc server: an address that is taken, or is not of this machine, is told with its setting and nothing else', async (t) => {
  const clock = new ManualClock();
  const { log } = recordingLog();
  const authority = await CertificateAuthority.open({
    stateDir: temporaryFolder(t),
    trustDomain: 'cluster.local',
    clock,
  });
  const issueCertificate = () => issueServerCertificate(authority, ['localhost'], HOUR_MS);
  const open = (host: string, port: number) =>
    GrpcServer.open({ ...noServices(), listen: { host, port }, issueCertificate, clock, log });
  const server = await open('127.0.0.1', 0);
  t.after(() => server.close());
  const stderr = t.mock.method(console, 'error', () => {});
  const advice = 'name a free port on an address of this machine \\(`ip address`\\)';
  for (const [host, port, code, says] of [
    ['127.0.0.1', server.port, 'EADDRINUSE', 'address already in use'],
    ['192.0.2.77', 15012, 'EADDRNOTAVAIL', 'address not available'],
  ] as const) {
    await assert.rejects(open(host, port), (error) => {
      assert.ok(error instanceof SettingError);
      assert.match(error.message, new RegExp(`^--listen ${host}:${port} cannot be listened on: ${says}; ${advice}`));
      assert.equal(error.code, code);
      return true;
    });
  }
  assert.equal(stderr.mock.callCount(), 0, 'grpc-js says nothing of its own');
});
