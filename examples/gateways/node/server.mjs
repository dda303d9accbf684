// A service that accepts access tokens of Secure Backend, with jose (https://github.com/panva/jose).
//
//     npm ci
//     ISSUER=http://localhost:8000 AUDIENCE=… PORT=9000 node server.mjs

import { createServer } from "node:http";
import { createRemoteJWKSet, errors, jwtVerify } from "jose";

const { ISSUER, AUDIENCE, JWKS_URL, PORT } = process.env;

// Keys are cached for 5 minutes, as the JWK Set allows. For a token with an unknown key id, jose loads them again, so a
// key rotation needs no restart. It does so at most once a second, so invented key ids cannot flood the issuer.
const keys = createRemoteJWKSet(new URL(JWKS_URL), { cacheMaxAge: 300_000, cooldownDuration: 1_000 });

async function verify(token) {
  const { payload } = await jwtVerify(token, keys, {
    algorithms: ["ES256"], // never the algorithm in the token's header
    typ: "at+jwt", // the type of access tokens, and of no other token of the issuer
    issuer: ISSUER,
    audience: AUDIENCE,
    clockTolerance: 30,
    requiredClaims: ["exp", "sub"],
  });
  return payload;
}

const server = createServer(async (request, response) => {
  const token = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
  try {
    if (!token) throw new errors.JWTInvalid("no bearer token");
    const claims = await verify(token);
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify({ user_id: claims.sub, orders: [] }));
  } catch (error) {
    // The issuer is unavailable, unless the token is wrong. A 401 would make every client log out.
    const isTokenWrong = error instanceof errors.JOSEError && !(error instanceof errors.JWKSTimeout);
    if (isTokenWrong) response.setHeader("WWW-Authenticate", token ? 'Bearer error="invalid_token"' : "Bearer");
    else response.setHeader("Retry-After", "5");
    response.writeHead(isTokenWrong ? 401 : 503).end();
  }
});
server.listen(PORT, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
