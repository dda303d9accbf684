// What the flows of the diagram share: the steps of both ceremonies of WebAuthn.

const WEBAUTHN = "https://www.w3.org/TR/webauthn-3/#";

/** A section of WebAuthn Level 3: its number and title, and where it is. */
export function webauthn(section, anchor) {
  return { text: `WebAuthn, section ${section}`, href: WEBAUTHN + anchor };
}

// --- What both ceremonies share ----------------------------------------------------------------------------------

export const CONSENT = {
  id: "consent",
  from: "authenticator",
  to: "authenticator",
  title: "The person agrees",
  spec: webauthn("6.1 Authenticator Data: the flags", "sctn-authenticator-data"),
};

export const ANSWER = {
  id: "credential",
  from: "browser",
  to: "browser",
  title: "The response becomes JSON",
  text:
    "All bytes are written in base64url, as credential.toJSON() does. Among them is the client data: the challenge, and " +
    "the origin as the browser saw it. Compare the marked value with the one that the server sent.",
  spec: webauthn("5.8.1 Client Data Used in WebAuthn Signatures", "dictionary-client-data"),
};

// --- Authentication ------------------------------------------------------------------------------------------------

const AUTHENTICATION = [
  {
    id: "get",
    from: "browser",
    to: "authenticator",
    title: "Sign this",
    text:
      "navigator.credentials.get(). The authenticator looks for a key that it made for exactly this rpId. For any other " +
      "site it has none, so there is nothing to phish.",
    spec: webauthn("6.3.3 The authenticatorGetAssertion Operation", "sctn-op-get-assertion"),
  },
  CONSENT,
  {
    id: "assertion",
    from: "authenticator",
    to: "browser",
    title: "Signed",
    text:
      "The private key has signed the authenticator data and the hash of the client data: flags, counter, site, origin " +
      "and challenge, all in one signature.",
    spec: webauthn("5.2.2 AuthenticatorAssertionResponse", "iface-authenticatorassertionresponse"),
  },
  ANSWER,
  {
    id: "complete",
    from: "browser",
    to: "server",
    title: "Hand it in",
    text: "No secret is in it. An attacker who records it can do nothing with it, because its challenge works once.",
    spec: webauthn("5.1 AuthenticationResponseJSON", "dictdef-authenticationresponsejson"),
  },
  {
    id: "checks",
    from: "server",
    to: "server",
    title: "The server checks everything",
    text:
      "The challenge is spent first. Below are the comparisons, made once more by this page with the values above. Two " +
      "of them only the server can make: it has the public key and the last counter.",
    spec: webauthn("7.2 Verifying an Authentication Assertion", "sctn-verifying-assertion"),
  },
  {
    id: "tokens",
    from: "server",
    to: "browser",
    title: "Logged in",
    text:
      "A token pair, whose claim amr says how the user logged in. With it comes the first step-up token: a login is a " +
      "proof of identity, too.",
    spec: { text: "RFC 8176, authentication methods", href: "https://www.rfc-editor.org/rfc/rfc8176" },
  },
];

/** The authentication ceremony with its first steps, and with the consent that these lead to. */
export function authentication(first, consent) {
  const steps = [...first, ...AUTHENTICATION];
  return steps.map((step) => (step === CONSENT ? { ...step, text: consent } : step));
}

export const BEGIN = {
  id: "begin",
  from: "browser",
  to: "server",
  title: "Ask for a challenge",
  spec: webauthn("13.4.3 Cryptographic Challenges", "sctn-cryptographic-challenges"),
};

export const OPTIONS = {
  id: "options",
  from: "server",
  to: "browser",
  title: "A challenge, and which passkeys count",
  spec: webauthn("5.5 Options for Assertion Generation", "dictionary-assertion-options"),
};
