// A certified OpenID provider (npm oidc-provider) for tests: `node provider.mjs SETTINGS.json`.
//
// The settings name the port, the client and a file of users, which is read at each question: whoever is taken out of
// it is gone. SIGHUP has it sign with a new key; the old one is no longer shown. It says "up" when it listens.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import Provider from 'oidc-provider';

const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const cookieKey = randomUUID();

function users() {
  return JSON.parse(readFileSync(settings.users, 'utf8'));
}

function newKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' };
}

function makeProvider() {
  return new Provider(settings.issuer, {
    clients: [settings.client],
    jwks: { keys: [newKey()] },
    claims: { openid: ['sub'], email: ['email'], profile: ['name', 'preferred_username', 'groups'] },
    scopes: ['openid', 'offline_access', 'email', 'profile'],
    features: { devInteractions: { enabled: true }, backchannelLogout: { enabled: true } },
    pkce: { required: () => true },
    cookies: { keys: [cookieKey] },
    ttl: { AccessToken: 3600, IdToken: 3600, Session: 3600, Grant: 86400, Interaction: 3600, RefreshToken: 86400 },
    findAccount: (_context, id) =>
      id in users() ? { accountId: id, claims: () => ({ sub: id, ...users()[id] }) } : undefined,
  });
}

let handle = makeProvider().callback();
process.on('SIGHUP', () => {
  handle = makeProvider().callback();
  console.log('rotated');
});
http
  .createServer((request, answer) => handle(request, answer))
  .listen(settings.port, '127.0.0.1', () => console.log('up'));
