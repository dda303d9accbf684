// The three flows that the diagram can show, message by message, with the section of the standard that governs each.
// Nothing here happens: ceremonies.js does what these steps describe, and names them by their id.
//
// A step goes `from` one lane `to` another; where both are the same, it is work that stays in its lane.

const WEBAUTHN = "https://www.w3.org/TR/webauthn-3/#";

/** A section of WebAuthn Level 3: its number and title, and where it is. */
function webauthn(section, anchor) {
  return { text: `WebAuthn, section ${section}`, href: WEBAUTHN + anchor };
}

// --- What both ceremonies share ----------------------------------------------------------------------------------

const CONSENT = {
  id: "consent",
  from: "authenticator",
  to: "authenticator",
  title: "The person agrees",
  spec: webauthn("6.1 Authenticator Data: the flags", "sctn-authenticator-data"),
};

const ANSWER = {
  id: "credential",
  from: "browser",
  to: "browser",
  title: "The response becomes JSON",
  text:
    "All bytes are written in base64url, as credential.toJSON() does. Among them is the client data: the challenge, and " +
    "the origin as the browser saw it. Compare the marked value with the one that the server sent.",
  spec: webauthn("5.8.1 Client Data Used in WebAuthn Signatures", "dictionary-client-data"),
};

// --- Adding a passkey (in WebAuthn: registration) -----------------------------------------------------------------

const REGISTRATION = {
  id: "registration",
  name: "Adding a passkey",
  summary:
    "The authenticator makes a key pair for this site alone and hands out the public half. There is no secret that the " +
    "server could lose.",
  steps: [
    {
      id: "begin",
      from: "browser",
      to: "server",
      title: "Ask to add a passkey",
      text:
        "With the access token. The server lets in only who has just logged in, and with a passkey if they have one: a " +
        "stolen token must not be enough to add a thief's key.",
      spec: { text: "RFC 9470, step-up authentication", href: "https://www.rfc-editor.org/rfc/rfc9470" },
    },
    {
      id: "options",
      from: "server",
      to: "browser",
      title: "A challenge, and what is wanted",
      text:
        "The challenge is 32 random bytes that nobody could know before. It is kept for five minutes and good for one " +
        "answer. With it: who the person is, which kinds of key are welcome, which passkeys are there already.",
      spec: webauthn("5.4 Options for Credential Creation", "dictionary-makecredentialoptions"),
    },
    {
      id: "make",
      from: "browser",
      to: "authenticator",
      title: "Make a key pair for this site",
      text:
        "navigator.credentials.create(). The browser refuses an rp.id that is not its page's own domain, and notes the " +
        "page's real origin in the client data, of which the authenticator gets the hash. A look-alike site cannot get " +
        "past that, whomever it fools.",
      spec: webauthn("6.3.2 The authenticatorMakeCredential Operation", "sctn-op-make-cred"),
    },
    {
      ...CONSENT,
      text:
        "They touch the device, and give their PIN, finger or face. That stays in the device: two bits tell the server " +
        "that somebody was there (UP) and that it was the right person (UV).",
    },
    {
      id: "attested",
      from: "authenticator",
      to: "browser",
      title: "Here is the public key",
      text:
        "The private key stays where it was made. The attestation object holds the public one, the new credential's id, " +
        "the flags and the signature counter.",
      spec: webauthn("6.5 Attestation", "sctn-attestation"),
    },
    ANSWER,
    {
      id: "complete",
      from: "browser",
      to: "server",
      title: "Hand it in",
      text: "The answer, and the id of the challenge that it answers.",
      spec: webauthn("5.1 RegistrationResponseJSON", "dictdef-registrationresponsejson"),
    },
    {
      id: "checks",
      from: "server",
      to: "server",
      title: "The server checks everything",
      text:
        "The challenge is spent first, whatever comes of it. Below are the comparisons, made once more by this page " +
        "with the values above; the server did its own, and believes nobody.",
      spec: webauthn("7.1 Registering a New Credential", "sctn-registering-a-new-credential"),
    },
    {
      id: "stored",
      from: "server",
      to: "browser",
      title: "Registered",
      text:
        "The server has stored the credential's id, its public key and its counter. None of them opens anything. With " +
        "the first passkey it has also ended all other sessions, which took no passkey to open.",
      spec: webauthn("4 Terminology: credential record", "credential-record"),
    },
  ],
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
    text: "No secret is in it. Whoever records it can do nothing with it: its challenge works once.",
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
    text: "A token pair. Its claim amr says how the person logged in.",
    spec: { text: "RFC 8176, authentication methods", href: "https://www.rfc-editor.org/rfc/rfc8176" },
  },
];

/** The authentication ceremony with its first steps, and with the consent that these lead to. */
function authentication(first, consent) {
  const steps = [...first, ...AUTHENTICATION];
  return steps.map((step) => (step === CONSENT ? { ...step, text: consent } : step));
}

const BEGIN = {
  id: "begin",
  from: "browser",
  to: "server",
  title: "Ask for a challenge",
  spec: webauthn("13.4.3 Cryptographic Challenges", "sctn-cryptographic-challenges"),
};

const OPTIONS = {
  id: "options",
  from: "server",
  to: "browser",
  title: "A challenge, and which passkeys count",
  spec: webauthn("5.5 Options for Assertion Generation", "dictionary-assertion-options"),
};

const SECOND_FACTOR = {
  id: "second-factor",
  name: "Login, both factors",
  summary: "First the password, something the person knows. Then the passkey, something the person has.",
  steps: authentication(
    [
      {
        id: "password",
        from: "browser",
        to: "server",
        title: "E-mail and password",
        text: "As they were typed, over TLS. Everything after this is here because a password can be stolen.",
        spec: { text: "NIST SP 800-63B-4, passwords", href: "https://pages.nist.gov/800-63-4/sp800-63b.html" },
      },
      {
        id: "mfa",
        from: "server",
        to: "browser",
        title: "Right, but not enough",
        text:
          "The account has a passkey. The mfa_token opens nothing but the next step, and not for long; nobody is logged " +
          "in yet.",
        spec: { text: "NIST SP 800-63B-4, assurance level 2", href: "https://pages.nist.gov/800-63-4/sp800-63b.html" },
      },
      { ...BEGIN, text: "The mfa_token says whose passkey it is to be." },
      {
        ...OPTIONS,
        text:
          "Fresh random bytes, good for one answer and for this person. allowCredentials names the passkeys of the " +
          "account: no other person's passkey will do.",
      },
    ],
    "They touch the device, and where it can, it checks a PIN, finger or face. The password was one factor already, so " +
      "the touch (UP) is enough for the second.",
  ),
};

const PASSKEY_ALONE = {
  id: "passkey-alone",
  name: "Login, passkey alone",
  summary:
    "No name, no password. The passkey says who it is, and the device has checked that it is the right person: two " +
    "factors in one touch.",
  steps: authentication(
    [
      { ...BEGIN, text: "Anyone may ask. Nothing in the request says who it will be." },
      {
        ...OPTIONS,
        text:
          "Fresh random bytes, good for one answer. allowCredentials is empty, so any discoverable passkey of this site " +
          "may answer; userVerification is required, because there was no password.",
      },
    ],
    "The person picks an account and proves to the device who they are. Without that proof (UV) the server would refuse.",
  ),
};

export const FLOWS = [REGISTRATION, SECOND_FACTOR, PASSKEY_ALONE];
