// The server's comparisons, made once more with the values that went by, so that one can see them hold. That the page
// makes them proves nothing to anybody: what counts is layers/common/auth_common/passkeys/verification.py.

import { sha256 } from "./webauthn-data.js";

/** What sections 7.1 and 7.2 of WebAuthn have in common. */
async function common({ type, options, rpId, clientData, authenticatorData }) {
  const isRequired = options.userVerification === "required";
  return [
    { text: `The client data is of the type ${type}`, found: clientData.type, holds: clientData.type === type },
    { text: "The challenge is the one that was sent", found: clientData.challenge, holds: clientData.challenge === options.challenge },
    { text: "The origin is this site's", found: clientData.origin, holds: clientData.origin === location.origin },
    { text: "It did not happen in a frame of another site", found: `crossOrigin: ${clientData.crossOrigin ?? false}`, holds: !clientData.crossOrigin },
    {
      text: `rpIdHash is the SHA-256 of “${rpId}”`,
      found: authenticatorData.rpIdHash,
      holds: authenticatorData.rpIdHash === (await sha256(new TextEncoder().encode(rpId))),
    },
    { text: "Somebody was present (UP)", holds: authenticatorData.flags.UP },
    {
      text: isRequired ? "The person was verified (UV), which is required" : "Whether the person was verified (UV) is noted, and not required",
      found: `UV: ${authenticatorData.flags.UV}`,
      holds: !isRequired || authenticatorData.flags.UV,
    },
  ];
}

/** The comparisons of section 7.1, Registering a New Credential. */
export async function registrationChecks({ options, credential, clientData, authenticatorData }) {
  const { credentialId, credentialPublicKey } = authenticatorData.attestedCredentialData;
  return [
    ...(await common({ type: "webauthn.create", options, rpId: options.rp.id, clientData, authenticatorData })),
    {
      text: "The key is of a kind that was offered",
      found: credentialPublicKey.algorithm,
      holds: options.pubKeyCredParams.some(({ alg }) => alg === credentialPublicKey.alg),
    },
    { text: "The id of the credential is the attested one", found: credential.id, holds: credential.id === credentialId },
    { text: "Nobody has registered this credential", holds: null },
  ];
}

/** The comparisons of section 7.2, Verifying an Authentication Assertion. */
export async function authenticationChecks({ options, credential, clientData, authenticatorData }) {
  const allowed = options.allowCredentials ?? [];
  return [
    allowed.length
      ? {
          text: "The passkey is one of those that count",
          found: credential.id,
          holds: allowed.some(({ id }) => id === credential.id),
        }
      : {
          text: "The passkey says whose it is, and it is that person's (the server knows)",
          found: credential.response.userHandle,
          holds: Boolean(credential.response.userHandle),
        },
    ...(await common({ type: "webauthn.get", options, rpId: options.rpId, clientData, authenticatorData })),
    { text: "The signature fits the stored public key", found: credential.response.signature, holds: null },
    {
      text: "The counter has advanced, or the passkey has none",
      found: `signCount: ${authenticatorData.signCount}`,
      holds: null,
    },
  ];
}
