// A service that accepts access tokens of Secure Backend, with jose (https://github.com/panva/jose).
//
//     npm ci
//     ISSUER=http://localhost:8000 AUDIENCE=… CLIENT_ID=… CLIENT_SECRET=… PORT=9000 node server.mjs

import { createServer } from "node:http";
import { createRemoteJWKSet, errors, jwtVerify } from "jose";

const { ISSUER, AUDIENCE, CLIENT_ID, CLIENT_SECRET, PORT } = process.env;

// The metadata of the issuer (RFC 8414), which must be available when this service starts.
const metadata = await (await fetch(`${ISSUER}/.well-known/openid-configuration`)).json();
if (metadata.issuer !== ISSUER) throw new Error(`the metadata is about ${metadata.issuer}`);

// Keys are cached for 5 minutes, as the JWK Set allows. For a token with an unknown key id, jose loads them again, so a
// key rotation needs no restart. It does so at most once a second, so invented key ids cannot flood the issuer.
const keys = createRemoteJWKSet(new URL(metadata.jwks_uri), { cacheMaxAge: 300_000, cooldownDuration: 1_000 });

// Returns the claims of a user's valid access token. After a logout, it is accepted until it expires.
async function verify(token) {
  const { payload } = await jwtVerify(token, keys, {
    algorithms: ["ES256"], // never the algorithm in the token's header
    typ: "at+jwt", // the type of access tokens, and of no other token of the issuer
    issuer: ISSUER,
    audience: AUDIENCE,
    clockTolerance: 30,
    requiredClaims: ["exp", "sub", "sid"], // Only users have sessions. A token of a service client has no "sid".
  });
  return payload;
}

// Returns the claims of a valid access token whose session the issuer still accepts (RFC 7662).
async function introspect(token) {
  const claims = await verify(token);
  const response = await fetch(metadata.introspection_endpoint, {
    method: "POST",
    headers: { Authorization: `Basic ${btoa(`${CLIENT_ID}:${CLIENT_SECRET}`)}` },
    body: new URLSearchParams({ token }),
    signal: AbortSignal.timeout(5_000),
  });
  if (!response.ok) throw new Error(`the introspection returned ${response.status}`);
  if ((await response.json()).active !== true) throw new errors.JWTInvalid("revoked");
  return claims;
}

const server = createServer(async (request, response) => {
  const token = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
  const isOnline = request.url === "/payments";
  try {
    if (!token) throw new errors.JWTInvalid("no bearer token");
    const { sub } = await (isOnline ? introspect(token) : verify(token));
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify(isOnline ? { user_id: sub, payments: [] } : { user_id: sub, orders: [] }));
  } catch (error) {
    // Unless the token is wrong, the issuer is unavailable. A 401 would make every client log out.
    const isTokenWrong = error instanceof errors.JOSEError && !(error instanceof errors.JWKSTimeout);
    if (isTokenWrong) response.setHeader("WWW-Authenticate", token ? 'Bearer error="invalid_token"' : "Bearer");
    else response.setHeader("Retry-After", "5");
    response.writeHead(isTokenWrong ? 401 : 503).end();
  }
});
server.listen(PORT, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
