// Base64url without padding (RFC 4648 section 5): how JWTs and WebAuthn's JSON write bytes.

/** Return the bytes that a base64url text stands for. */
export function decode(text) {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

/** Return bytes (a Uint8Array or an ArrayBuffer) as base64url. */
export function encode(bytes) {
  const binary = Array.from(new Uint8Array(bytes), (byte) => String.fromCharCode(byte)).join("");
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Return the JSON document that a base64url text stands for. */
export function decodeJson(text) {
  return JSON.parse(new TextDecoder().decode(decode(text)));
}
