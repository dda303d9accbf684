// Steps that several flows of the diagram share.

const WEBAUTHN = "https://www.w3.org/TR/webauthn-3/#";

/** Return a link to a section of WebAuthn Level 3. `section` is its number and title. */
export function webauthn(section, anchor) {
  return { text: `WebAuthn, section ${section}`, href: WEBAUTHN + anchor };
}

// --- Both ceremonies ---------------------------------------------------------------------------------------------

export const CONSENT = {
  id: "consent",
  from: "authenticator",
  to: "authenticator",
  title: "The user agrees",
  spec: webauthn("6.1 Authenticator Data: the flags", "sctn-authenticator-data"),
};

export const ANSWER = {
  id: "credential",
  from: "browser",
  to: "browser",
  title: "The response becomes JSON",
  text:
    "The page encodes all bytes in base64url, as credential.toJSON() does. The client data contains the challenge and " +
    "the page's origin. Compare the highlighted challenge with the one that the server has sent.",
  spec: webauthn("5.8.1 Client Data Used in WebAuthn Signatures", "dictionary-client-data"),
};

// --- Authentication ------------------------------------------------------------------------------------------------

const AUTHENTICATION = [
  {
    id: "get",
    from: "browser",
    to: "authenticator",
    title: "Sign the challenge",
    text:
      "The page calls navigator.credentials.get(). The authenticator looks for a key that it has made for exactly this " +
      "rpId. It has no key for a phishing site.",
    spec: webauthn("6.3.3 The authenticatorGetAssertion Operation", "sctn-op-get-assertion"),
  },
  CONSENT,
  {
    id: "assertion",
    from: "authenticator",
    to: "browser",
    title: "The signature",
    text:
      "The private key has signed the authenticator data and the hash of the client data. So one signature covers flags, " +
      "counter, site, origin and challenge.",
    spec: webauthn("5.2.2 AuthenticatorAssertionResponse", "iface-authenticatorassertionresponse"),
  },
  ANSWER,
  {
    id: "complete",
    from: "browser",
    to: "server",
    title: "Send the credential",
    text: "The request contains no secret. An attacker cannot use a recorded request, because its challenge works once.",
    spec: webauthn("5.1 AuthenticationResponseJSON", "dictdef-authenticationresponsejson"),
  },
  {
    id: "checks",
    from: "server",
    to: "server",
    title: "The server verifies the credential",
    text:
      "The server deletes the challenge first. Below, this page repeats the checks with the values above. The server " +
      "alone has the public key and the last counter, so the page cannot repeat two of the checks.",
    spec: webauthn("7.2 Verifying an Authentication Assertion", "sctn-verifying-assertion"),
  },
  {
    id: "tokens",
    from: "server",
    to: "browser",
    title: "Logged in",
    text:
      "The response contains a token pair and a step-up token, because a login is a proof of identity too. The claim amr " +
      "lists the methods of the login.",
    spec: { text: "RFC 8176, authentication methods", href: "https://www.rfc-editor.org/rfc/rfc8176" },
  },
];

/** Return the steps of a login or a step-up: `first`, then those that all share, with `consent` as the user's part. */
export function authentication(first, consent) {
  const steps = [...first, ...AUTHENTICATION];
  return steps.map((step) => (step === CONSENT ? { ...step, text: consent } : step));
}

export const BEGIN = {
  id: "begin",
  from: "browser",
  to: "server",
  title: "Request a challenge",
  spec: webauthn("13.4.3 Cryptographic Challenges", "sctn-cryptographic-challenges"),
};

export const OPTIONS = {
  id: "options",
  from: "server",
  to: "browser",
  title: "Challenge and options",
  spec: webauthn("5.5 Options for Assertion Generation", "dictionary-assertion-options"),
};
