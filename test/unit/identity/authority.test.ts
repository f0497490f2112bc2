// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { CertificateAuthority } from '#src/identity/certificate-authority.ts';
import { createCertificateRequest } from '#src/identity/certificate-request.ts';
import { checkIssued } from '#src/identity/identity-certificate.ts';
import { formatJoinFile, JoinTokens, parseJoinFile } from '#src/identity/join-token.ts';
import { importSigningKey } from '#src/identity/signing-key.ts';
import * as x509 from '#src/identity/x509.ts';
import { systemClock } from '#src/model/clock.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';
import { temporaryFolder } from '../discovery/loopback.ts';

const HOUR_MS = 3_600_000;

const WEB = { trustDomain: 'cluster.local', namespace: 'shop', serviceAccount: 'web' };

function open(stateDir: string, trustDomain = 'cluster.local', caCertsDir?: string) {
  return CertificateAuthority.open({
    stateDir,
    trustDomain,
    clock: systemClock,
    ...(caCertsDir !== undefined && { caCertsDir }),
  });
}

async function request(authority: CertificateAuthority, lifetimeMs = 3_600_000) {
  const { csrPem, privateKeyPem } = createCertificateRequest(WEB);
  const { publicKey } = new x509.Pkcs10CertificateRequest(csrPem);
  return { privateKeyPem, answer: await authority.signWorkload(publicKey, WEB, lifetimeMs) };
}

test('authority: makes its root once, key 0600, and signs leaves that hold', async (t) => {
  const stateDir = temporaryFolder(t);
  const authority = await open(stateDir);
  assert.equal(statSync(join(stateDir, 'root.key')).mode & 0o777, 0o600);
  assert.equal((await open(stateDir)).rootsPem, authority.rootsPem);
  const { privateKeyPem, answer } = await request(authority);
  const certificate = checkIssued(WEB, privateKeyPem, answer, Date.now());
  const leaf = new X509Certificate(certificate.chain[0] ?? '');
  assert.equal(leaf.subjectAltName, 'URI:spiffe://cluster.local/ns/shop/sa/web');
  assert.equal(leaf.subject, undefined);
  assert.equal(leaf.ca, false);
  assert.deepEqual([...(leaf.keyUsage ?? [])].sort(), ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
  assert.ok(certificate.notBeforeMs < Date.now() - 60_000, 'backdated for clocks that differ');
});

test('authority: a lost root certificate is made again with the same key, and what was signed still holds', async (t) => {
  const stateDir = temporaryFolder(t);
  const { privateKeyPem, answer } = await request(await open(stateDir));
  rmSync(join(stateDir, 'root.pem'));
  const again = await open(stateDir);
  assert.notEqual(again.rootsPem, answer.at(-1));
  assert.ok(checkIssued(WEB, privateKeyPem, [answer[0] ?? '', again.rootsPem], Date.now()));
});

test('authority: fails closed: damaged files stop the start and say what to do', async (t) => {
  const stateDir = temporaryFolder(t);
  await open(stateDir);
  writeFileSync(join(stateDir, 'root.pem'), '');
  await assert.rejects(open(stateDir), /root\.pem is not a PEM certificate; restore it/);
  writeFileSync(join(stateDir, 'root.key'), 'damaged');
  await assert.rejects(open(stateDir), /root\.key is not a usable private key .*restore it from a backup/s);
});

test('authority: fails closed: refuses to start with a key that others can read', async (t) => {
  const stateDir = temporaryFolder(t);
  await open(stateDir);
  chmodSync(join(stateDir, 'root.key'), 0o640);
  await assert.rejects(open(stateDir), /root\.key has mode 0640: .*chmod 600/);
});

test('authority: refuses the root of another trust domain or another key', async (t) => {
  const [one, two] = [temporaryFolder(t), temporaryFolder(t)];
  await open(one);
  await open(two);
  await assert.rejects(open(one, 'other.example'), /is the root of trust domain cluster\.local, not of other\.example/);
  copyFileSync(join(one, 'root.pem'), join(two, 'root.pem'));
  await assert.rejects(open(two), /does not belong to the key/);
});

test('authority: signs with a plugged-in intermediate and sends it along', async (t) => {
  const folder = temporaryFolder(t);
  const root = await open(join(folder, 'root'));
  const caCerts = join(folder, 'cacerts');
  mkdirSync(caCerts);
  const keys = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
  const rootKey = x509.PemConverter.decode(readFileSync(join(folder, 'root/root.key'), 'utf8'))[0];
  const signingKey = await crypto.subtle.importKey(
    'pkcs8',
    rootKey ?? new ArrayBuffer(0),
    { name: 'ECDSA', namedCurve: 'P-256' },
    false,
    ['sign'],
  );
  const intermediate = await x509.X509CertificateGenerator.create({
    subject: 'CN=intermediate',
    issuer: new x509.X509Certificate(root.rootsPem).subject,
    notAfter: new Date(Date.now() + 86_400_000),
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
  const keyPem = x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY');
  writeFileSync(join(caCerts, 'ca-key.pem'), keyPem, { mode: 0o600 });
  writeFileSync(join(caCerts, 'ca-cert.pem'), intermediate.toString('pem'));
  writeFileSync(join(caCerts, 'cert-chain.pem'), `${intermediate.toString('pem')}\n${root.rootsPem}`);
  await assert.rejects(open(folder, 'cluster.local', caCerts), /root-cert\.pem cannot be read/);
  writeFileSync(join(caCerts, 'root-cert.pem'), root.rootsPem);
  const { privateKeyPem, answer } = await request(await open(folder, 'cluster.local', caCerts), 10 * 86_400_000);
  assert.equal(answer.length, 3, 'leaf, intermediate, root');
  const { notAfterMs } = checkIssued(WEB, privateKeyPem, answer, Date.now());
  assert.ok(notAfterMs <= intermediate.notAfter.getTime(), 'no leaf outlives its issuer');
});

test('checkIssued: an answer for another name, another key or another root is not used', async (t) => {
  const authority = await open(temporaryFolder(t));
  const stranger = await open(temporaryFolder(t));
  const { privateKeyPem, answer } = await request(authority);
  const other = await request(authority);
  assert.throws(
    () => checkIssued({ ...WEB, serviceAccount: 'db' }, privateKeyPem, answer, Date.now()),
    /signed for URI:.*\/sa\/web where/,
  );
  assert.throws(() => checkIssued(WEB, other.privateKeyPem, answer, Date.now()), /for another key/);
  assert.throws(
    () => checkIssued(WEB, privateKeyPem, [answer[0] ?? '', stranger.rootsPem], Date.now()),
    /not signed by a trust root/,
  );
  assert.throws(() => checkIssued(WEB, privateKeyPem, answer, Date.now() + 7_200_000), /compare the clocks/);
  assert.throws(() => checkIssued(WEB, privateKeyPem, [], Date.now()), /without a certificate/);
});

test('checkIssued: a certificate with a second name, or one that signs others, is not used', async (t) => {
  const stateDir = temporaryFolder(t);
  const { rootsPem } = await open(stateDir);
  const { csrPem, privateKeyPem } = createCertificateRequest(WEB);
  const signing = await importSigningKey(readFileSync(join(stateDir, 'root.key'), 'utf8'));
  const uri = (path: string) => ({ type: 'url' as const, value: `spiffe://cluster.local/ns/shop/sa/${path}` });
  const sign = async (names: readonly x509.JsonGeneralName[], isAuthority: boolean): Promise<readonly string[]> => {
    const leaf = await x509.X509CertificateGenerator.create({
      issuer: new x509.X509Certificate(rootsPem).subject,
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(Date.now() + HOUR_MS),
      publicKey: new x509.Pkcs10CertificateRequest(csrPem).publicKey,
      signingKey: signing.privateKey,
      signingAlgorithm: signing.algorithm,
      extensions: [
        new x509.BasicConstraintsExtension(isAuthority, undefined, true),
        new x509.SubjectAlternativeNameExtension([...names], true),
      ],
    });
    return [leaf.toString('pem'), rootsPem];
  };
  assert.ok(checkIssued(WEB, privateKeyPem, await sign([uri('web')], false), Date.now()));
  const two = await sign([uri('web'), uri('db')], false);
  assert.throws(() => checkIssued(WEB, privateKeyPem, two, Date.now()), /signed for URI:.*web, URI:.*db where/);
  const authority = await sign([uri('web')], true);
  assert.throws(() => checkIssued(WEB, privateKeyPem, authority, Date.now()), /as an authority/);
});

test('join token: accepted until it expires, by the control plane that made it, for its node', (t) => {
  const clock = new ManualClock();
  const tokens = JoinTokens.open(temporaryFolder(t), clock);
  const token = tokens.make('node-a', 60_000);
  const fromMs = Math.floor(clock.nowMs() / 1000) * 1000;
  assert.deepEqual(tokens.verify(token), {
    node: 'node-a',
    token: { fromMs, untilMs: fromMs + 60_000, lineFromMs: fromMs, lineUntilMs: undefined },
  });
  const foreign = JoinTokens.open(temporaryFolder(t), clock).verify(token);
  assert.ok('reason' in foreign && /not made by this control plane/.test(foreign.reason));
  const [header, , signature] = token.split('.');
  const forged = Buffer.from(JSON.stringify({ aud: ['istio-ca'], node: 'b', exp: 9e9 })).toString('base64url');
  assert.ok('reason' in tokens.verify(`${header}.${forged}.${signature}`));
  clock.advance(61_000);
  const late = tokens.verify(token);
  assert.ok('reason' in late && /has expired; make a new one/.test(late.reason));
});

test('join token: renewed for as long as its line lasts, and not beyond, whoever holds it', (t) => {
  const clock = new ManualClock();
  const tokens = JoinTokens.open(temporaryFolder(t), clock);
  const lineMaxMs = 3.25 * HOUR_MS;
  const lifeOf = (token: string) => {
    const caller = tokens.verify(token);
    assert.ok('token' in caller);
    return caller.token;
  };
  const first = lifeOf(tokens.make('node-a', HOUR_MS));
  const ends = [first.untilMs];
  for (let last = first; ends.length < 20; clock.advance(HOUR_MS / 2)) {
    const next = tokens.renew('node-a', last, lineMaxMs);
    if (next === undefined) break;
    last = lifeOf(next.token);
    assert.deepEqual(last, next.life);
    assert.deepEqual([last.lineFromMs, last.lineUntilMs], [first.fromMs, first.fromMs + lineMaxMs]);
    ends.push(last.untilMs);
  }
  assert.deepEqual(
    ends.map((endMs) => (endMs - first.fromMs) / HOUR_MS),
    [1, 1, 1.5, 2, 2.5, 3, 3.25],
  );
  assert.equal(tokens.renew('node-a', lifeOf(tokens.make('node-a', 5 * HOUR_MS)), lineMaxMs), undefined);
});

test('join token: no text makes verify or parse do anything but refuse', (t) => {
  const tokens = JoinTokens.open(temporaryFolder(t), systemClock);
  fc.assert(fc.property(fc.string(), (text) => 'reason' in tokens.verify(text)));
});

test('join file: roots and token come back; damage is named, content is not', async (t) => {
  const { rootsPem } = await open(temporaryFolder(t));
  assert.deepEqual(parseJoinFile(formatJoinFile(rootsPem, 'a.b.c')), { rootsPem, token: 'a.b.c' });
  assert.deepEqual(parseJoinFile('a.b.c\n'), { rootsPem: undefined, token: 'a.b.c' });
  assert.throws(() => parseJoinFile(rootsPem), /no token line/);
  assert.throws(
    () => parseJoinFile('secret text'),
    (error: Error) => /damaged/.test(error.message) && !/secret/.test(error.message),
  );
});
