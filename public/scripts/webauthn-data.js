// Decoders for the parts of a credential: client data, authenticator data, attestation object. The page only shows them.

import { decode, decodeJson, encode } from "../client/base64url.js";
import { decodeFirst } from "./cbor.js";

/** The COSE algorithms of passkeys, by number (RFC 9053, RFC 8812). */
export const ALGORITHMS = {
  "-7": "ES256: ECDSA on P-256 with SHA-256",
  "-8": "EdDSA: Ed25519",
  "-35": "ES384: ECDSA on P-384 with SHA-384",
  "-36": "ES512: ECDSA on P-521 with SHA-512",
  "-257": "RS256: RSA PKCS#1 v1.5 with SHA-256",
};

/** The flags of the authenticator data, with their bits (WebAuthn section 6.1). Bits 1 and 5 are reserved. */
const FLAGS = { UP: 0, UV: 2, BE: 3, BS: 4, AT: 6, ED: 7 };

/** The meaning of the flags. */
export const FLAGS_IN_WORDS =
  "UP: the user was present. UV: the device has checked PIN, fingerprint or face. BE: the passkey may be copied to other " +
  "devices. BS: it has been copied. AT: a new public key follows. ED: extension data follows.";

/** Decode CollectedClientData, the browser's description of the ceremony (WebAuthn section 5.8.1). */
export const decodeClientData = decodeJson;

/** Return the SHA-256 of bytes in base64url. */
export async function sha256(bytes) {
  return encode(await crypto.subtle.digest("SHA-256", bytes));
}

/** Decode authenticator data (WebAuthn section 6.1): hash, flags, counter and, after a registration, the new key. */
export function decodeAuthenticatorData(text) {
  const bytes = decode(text);
  const view = new DataView(bytes.buffer);
  const flags = bytes[32];
  const decoded = {
    rpIdHash: encode(bytes.slice(0, 32)),
    flags: Object.fromEntries(Object.entries(FLAGS).map(([name, bit]) => [name, Boolean(flags & (1 << bit))])),
    signCount: view.getUint32(33),
  };
  if (flags & 0x40) {
    // Section 6.5.1: AAGUID (16 bytes), length of the id (2), the id, the public key as a COSE_Key.
    const idEnd = 55 + view.getUint16(53);
    decoded.attestedCredentialData = {
      aaguid: uuid(bytes.slice(37, 53)),
      credentialId: encode(bytes.slice(55, idEnd)),
      credentialPublicKey: describeKey(decodeFirst(bytes, idEnd).value),
    };
  }
  return decoded;
}

/** Decode an attestation object (WebAuthn section 6.5.4): format, statement and authenticator data. */
export function decodeAttestationObject(text) {
  const object = decodeFirst(decode(text)).value;
  return {
    fmt: object.get("fmt"),
    attStmt: plain(object.get("attStmt")),
    authData: decodeAuthenticatorData(encode(object.get("authData"))),
  };
}

/** Describe a COSE_Key with names instead of numbers (RFC 9052 section 7, RFC 9053 section 7). */
function describeKey(key) {
  const kinds = { 1: "OKP", 2: "EC2", 3: "RSA" };
  const curves = { 1: "P-256", 2: "P-384", 3: "P-521", 6: "Ed25519" };
  const described = { kty: kinds[key.get(1)] ?? key.get(1), alg: key.get(3), algorithm: ALGORITHMS[key.get(3)] };
  if (key.get(1) === 3) return { ...described, n: encode(key.get(-1)), e: encode(key.get(-2)) };
  const point = { crv: curves[key.get(-1)] ?? key.get(-1), x: encode(key.get(-2)) };
  return key.get(1) === 2 ? { ...described, ...point, y: encode(key.get(-3)) } : { ...described, ...point };
}

/** Convert maps and bytes, which JSON does not have, to objects and base64url. */
function plain(value) {
  if (value instanceof Uint8Array) return encode(value);
  if (value instanceof Map) return Object.fromEntries([...value].map(([name, item]) => [name, plain(item)]));
  return Array.isArray(value) ? value.map(plain) : value;
}

function uuid(bytes) {
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
