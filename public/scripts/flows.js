// The four flows that the diagram can show, message by message, with the section of the standard that governs each.
// Nothing here happens: ceremonies.js does what these steps describe, and names them by their id.
//
// A step goes `from` one lane `to` another; where both are the same, it is work that stays in its lane.

import { ANSWER, authentication, BEGIN, CONSENT, OPTIONS, webauthn } from "./flow-parts.js";

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
        "With the access token and the step-up token, which the login returned. A stolen access token alone adds no " +
        "passkey. Without a valid step-up token the server answers 403, and the flow Step-up comes first.",
      spec: { text: "OWASP ASVS 5.0, 7.5.1", href: "https://github.com/OWASP/ASVS/tree/v5.0.0/5.0" },
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
        "The server has stored the credential's id, its public key and its counter. None of them opens anything. It has " +
        "also revoked all other sessions and the step-up token.",
      spec: webauthn("4 Terminology: credential record", "credential-record"),
    },
  ],
};

// --- Login -----------------------------------------------------------------------------------------------------------

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

// --- Step-up -------------------------------------------------------------------------------------------------------

/** What a step-up says at the steps that it shares with a login. */
const STEP_UP_CHANGES = {
  complete: {
    text:
      "The signed challenge, or the password instead. A wrong proof is counted, and the fifth revokes the session: " +
      "its tokens are then probably stolen.",
  },
  tokens: {
    title: "A step-up token",
    text:
      "The rejected request is sent once more, with this token in the header Step-Up-Token. It works in this session " +
      "alone, for 10 minutes or until the passkeys or the password change.",
    spec: { text: "OWASP ASVS 5.0, 7.5.1", href: "https://github.com/OWASP/ASVS/tree/v5.0.0/5.0" },
  },
};

const STEP_UP = {
  id: "step-up",
  name: "Step-up",
  summary:
    "Before a sensitive request the user proves again who they are, with a passkey or with the password. The server " +
    "returns a step-up token, which only this page has.",
  steps: [
    {
      id: "refused",
      from: "server",
      to: "browser",
      title: "Not without a proof",
      text:
        "The step-up token is missing or has expired, or its proof was a password where a passkey is needed. The 403 " +
        "lists the methods that are accepted.",
      spec: { text: "OWASP ASVS 5.0, 7.5.1", href: "https://github.com/OWASP/ASVS/tree/v5.0.0/5.0" },
    },
    ...authentication(
      [
        { ...BEGIN, text: "With the access token: the challenge is for this user and this session." },
        {
          ...OPTIONS,
          text:
            "Fresh random bytes, good for one answer. allowCredentials names the passkeys of this account. A challenge " +
            "of a login does not work here.",
        },
      ],
      "They touch the device, and give their PIN, finger or face. A passkey that does not check these (UV) needs the " +
        "password in the same request.",
    ).map((step) => ({ ...step, ...STEP_UP_CHANGES[step.id] })),
  ],
};

export const FLOWS = [REGISTRATION, SECOND_FACTOR, PASSKEY_ALONE, STEP_UP];
