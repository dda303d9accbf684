// Base64url without padding (RFC 4648 section 5). JWTs and WebAuthn's JSON contain bytes in this form.

/** Decode a base64url text to bytes. */
export function decode(text) {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

/** Encode bytes (a Uint8Array or an ArrayBuffer) as base64url. */
export function encode(bytes) {
  const binary = Array.from(new Uint8Array(bytes), (byte) => String.fromCharCode(byte)).join("");
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Decode a base64url text to a JSON document. */
export function decodeJson(text) {
  return JSON.parse(new TextDecoder().decode(decode(text)));
}
