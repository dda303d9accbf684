// Passkeys to JSON and their options from JSON (WebAuthn Level 3, sections 5.1, 5.1.8 and 5.1.9), written by hand.
//
// Current browsers have parseCreationOptionsFromJSON(), parseRequestOptionsFromJSON() and toJSON(). Older browsers lack
// all three. Password managers return objects of their own, whose toJSON() is missing, throws "Illegal invocation" or
// returns something else. This module therefore reads each member itself, which works in all of these cases.

import { decode, encode } from "./base64url.js";

/** Return the options for `navigator.credentials.create()`. This service sends no extensions that contain bytes. */
export function creationOptions(json) {
  return {
    ...json,
    challenge: decode(json.challenge),
    user: { ...json.user, id: decode(json.user.id) },
    excludeCredentials: (json.excludeCredentials ?? []).map(descriptor),
  };
}

/** Return the options for `navigator.credentials.get()`. */
export function requestOptions(json) {
  return {
    ...json,
    challenge: decode(json.challenge),
    allowCredentials: (json.allowCredentials ?? []).map(descriptor),
  };
}

function descriptor(json) {
  return { ...json, id: decode(json.id) };
}

/** Return the RegistrationResponseJSON of what `create()` has returned. Throws an Error if a required member is missing. */
export function registrationJson(credential) {
  const response = read(() => credential.response);
  return complete(credential, {
    clientDataJSON: text(read(() => response.clientDataJSON)),
    attestationObject: text(read(() => response.attestationObject)),
    authenticatorData: text(read(() => response.getAuthenticatorData())),
    publicKey: text(read(() => response.getPublicKey())),
    publicKeyAlgorithm: only("number", read(() => response.getPublicKeyAlgorithm())),
    transports: read(() => [...response.getTransports()].filter((transport) => typeof transport === "string")) ?? [],
  }, ["clientDataJSON", "attestationObject"]);
}

/** Return the AuthenticationResponseJSON of what `get()` has returned. Throws an Error if a required member is missing. */
export function authenticationJson(credential) {
  const response = read(() => credential.response);
  return complete(credential, {
    clientDataJSON: text(read(() => response.clientDataJSON)),
    authenticatorData: text(read(() => response.authenticatorData)),
    signature: text(read(() => response.signature)),
    // A user handle is 1 to 64 bytes (section 5.4.3). Some managers return an empty buffer instead of null.
    userHandle: text(read(() => response.userHandle)) || undefined,
  }, ["clientDataJSON", "authenticatorData", "signature"]);
}

function complete(credential, response, required) {
  const id = text(read(() => credential.rawId)) || text(read(() => credential.id));
  const missing = required.filter((name) => !response[name]);
  if (!id) missing.unshift("rawId");
  if (missing.length) {
    throw new Error(`The browser or its password manager returned an incomplete passkey. Missing: ${missing.join(", ")}.`);
  }
  return {
    id,
    rawId: id,
    type: "public-key",
    response,
    authenticatorAttachment: only("string", read(() => credential.authenticatorAttachment)),
    // Convert to JSON and back, so that a value which JSON cannot express fails here and not in the request.
    clientExtensionResults: read(() => JSON.parse(JSON.stringify(plain(credential.getClientExtensionResults())))) ?? {},
  };
}

/** Read a member. Return undefined if that throws, as a browser's getter does on the object of a password manager. */
function read(member) {
  try {
    return member();
  } catch {
    return undefined;
  }
}

function only(type, value) {
  return typeof value === type ? value : undefined;
}

/** Return bytes, or a text in base64 or base64url, as base64url. Return undefined for other values. */
function text(value) {
  if (typeof value === "string") {
    const url = value.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
    return /^[\w-]*$/.test(url) ? url : undefined;
  }
  if (ArrayBuffer.isView(value)) return encode(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  // Not instanceof: a buffer made by an extension's script belongs to another ArrayBuffer.
  return Object.prototype.toString.call(value) === "[object ArrayBuffer]" ? encode(value) : undefined;
}

/** Return extension results with base64url for bytes, for example those of `prf`. */
function plain(value) {
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  return text(value) ?? Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]));
}
