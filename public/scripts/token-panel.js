// The access token: its three parts, the meaning of each claim, the remaining lifetime, and a check of the signature.

import { decode, decodeJson } from "../client/base64url.js";
import { backend, session } from "./backend.js";
import { CLAIMS, METHODS, TIMES } from "./claims.js";
import { find, make, makeTime, say } from "./elements.js";
import { onPress } from "./forms.js";
import { jsonView } from "./json-view.js";

/** Set up the panel, once. */
export function setUpToken() {
  onPress(find("renew"), find("token-problem"), async () => {
    await session.renew();
    say("The refresh token was exchanged for a new pair.");
  });
  session.addEventListener("change", show);
  setInterval(tick, 1000);
}

function show() {
  if (!session.tokens) {
    find("token-parts").replaceChildren(); // The token of a session must not stay in the page after its end.
    return;
  }
  const [header, payload, signature] = session.tokens.access_token.split(".");
  find("token-parts").replaceChildren(
    part("Header", header, jsonView(decodeJson(header)), make("p", { class: "note" }, "The header names the signing key (kid) and the type: an access token (typ, RFC 9068).")),
    part("Payload: the claims", payload, make("dl", { class: "claims" }, ...Object.entries(decodeJson(payload)).map(claim))),
    part("Signature", signature, ...signatureCheck()),
    refreshToken(),
  );
  tick();
}

function part(title, raw, ...content) {
  return make("section", { class: "part" }, make("h3", {}, title), make("p", { class: "raw" }, make("code", {}, raw)), ...content);
}

function claim([name, value]) {
  return make(
    "div",
    { "data-claim": name },
    make("dt", {}, make("code", {}, name)),
    make("dd", { class: "value" }, make("code", {}, JSON.stringify(value)), ...inWords(name, value)),
    make("dd", { class: "meaning" }, CLAIMS[name] ?? "A claim that this page does not know."),
  );
}

function inWords(name, value) {
  if (TIMES.has(name)) return [" ", makeTime(value)];
  if (name !== "amr") return [];
  return [make("span", { class: "methods" }, value.map((method) => METHODS[method] ?? method).join(", "))];
}

/** Make a check of the signature with the public key (RFC 7515), as other services do it. */
function signatureCheck() {
  const verdict = make("p", { class: "note", role: "status" });
  const problem = make("p", { class: "problem", role: "alert" });
  const button = make("button", { type: "button", class: "quiet small" }, "Verify with the public key");
  onPress(button, problem, async () => {
    const [header, payload, signature] = session.tokens.access_token.split(".");
    const { kid } = decodeJson(header);
    const { body } = await backend.send("GET", "/.well-known/jwks.json");
    const jwk = body.keys.find((key) => key.kid === kid);
    // The algorithm is fixed. A token must not choose the algorithm that verifies it (RFC 8725).
    const key = jwk && (await crypto.subtle.importKey("jwk", jwk, { name: "ECDSA", namedCurve: "P-256" }, false, ["verify"]));
    const signed = new TextEncoder().encode(`${header}.${payload}`);
    const isValid = key && (await crypto.subtle.verify({ name: "ECDSA", hash: "SHA-256" }, key, decode(signature), signed));
    verdict.textContent = isValid ? `The signature is valid. The key is ${kid}.` : "The signature is not valid.";
  });
  return [make("p", { class: "note" }, "ECDSA on P-256 with SHA-256, of the first two parts."), button, verdict, problem];
}

function refreshToken() {
  const { refresh_token, refresh_expires_in } = session.tokens;
  const days = Math.round(refresh_expires_in / 86_400);
  return make(
    "section",
    { class: "part" },
    make("h3", {}, "The refresh token"),
    make("p", { class: "note" }, `256 random bits without meaning. It is valid for ${days} days and works once: the server exchanges it for a new token pair. If it is used a second time, an attacker may have a copy, so the server revokes the session.`),
    make("details", {}, make("summary", {}, "Show the token"), make("p", { class: "raw" }, make("code", {}, refresh_token))),
  );
}

/** Show the remaining lifetime. */
function tick() {
  if (!session.tokens) return;
  const left = Math.ceil(session.secondsLeft);
  const seconds = String(left % 60).padStart(2, "0");
  find("countdown").textContent = left ? `${Math.floor(left / 60)}:${seconds}` : "0:00, expired";
  find("countdown-bar").max = session.tokens.expires_in;
  find("countdown-bar").value = left;
}
