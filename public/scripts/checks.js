// The server's checks, repeated in the page with the values of the ceremony, to show them. Only the server's checks
// protect an account: layers/common/auth_common/passkeys/verification.py.

import { sha256 } from "./webauthn-data.js";

/** Return the checks that sections 7.1 and 7.2 of WebAuthn share. */
async function common({ type, options, rpId, clientData, authenticatorData }) {
  const isRequired = options.userVerification === "required";
  return [
    { text: `The type of the client data is ${type}`, found: clientData.type, holds: clientData.type === type },
    { text: "The challenge is the one that the server sent", found: clientData.challenge, holds: clientData.challenge === options.challenge },
    { text: "The origin is that of this page", found: clientData.origin, holds: clientData.origin === location.origin },
    { text: "The page was not in a frame of another site", found: `crossOrigin: ${clientData.crossOrigin ?? false}`, holds: !clientData.crossOrigin },
    {
      text: `rpIdHash is the SHA-256 of “${rpId}”`,
      found: authenticatorData.rpIdHash,
      holds: authenticatorData.rpIdHash === (await sha256(new TextEncoder().encode(rpId))),
    },
    { text: "The user was present (UP)", holds: authenticatorData.flags.UP },
    {
      text: isRequired ? "The user was verified (UV), as required" : "User verification (UV) is recorded, not required",
      found: `UV: ${authenticatorData.flags.UV}`,
      holds: !isRequired || authenticatorData.flags.UV,
    },
  ];
}

/** Return the checks of section 7.1, Registering a New Credential. */
export async function registrationChecks({ options, credential, clientData, authenticatorData }) {
  const { credentialId, credentialPublicKey } = authenticatorData.attestedCredentialData;
  return [
    ...(await common({ type: "webauthn.create", options, rpId: options.rp.id, clientData, authenticatorData })),
    {
      text: "The server has offered the key's algorithm",
      found: credentialPublicKey.algorithm,
      holds: options.pubKeyCredParams.some(({ alg }) => alg === credentialPublicKey.alg),
    },
    { text: "The credential's id is the attested one", found: credential.id, holds: credential.id === credentialId },
    { text: "No user has registered this credential", holds: null },
  ];
}

/** Return the checks of section 7.2, Verifying an Authentication Assertion. */
export async function authenticationChecks({ options, credential, clientData, authenticatorData }) {
  const allowed = options.allowCredentials ?? [];
  return [
    allowed.length
      ? {
          text: "The server has listed this passkey",
          found: credential.id,
          holds: allowed.some(({ id }) => id === credential.id),
        }
      : {
          text: "The passkey names its user, and belongs to this user (only the server can check)",
          found: credential.response.userHandle,
          holds: Boolean(credential.response.userHandle),
        },
    ...(await common({ type: "webauthn.get", options, rpId: options.rpId, clientData, authenticatorData })),
    { text: "The signature is valid for the stored public key", found: credential.response.signature, holds: null },
    {
      text: "The counter has increased, or the passkey has none",
      found: `signCount: ${authenticatorData.signCount}`,
      holds: null,
    },
  ];
}
