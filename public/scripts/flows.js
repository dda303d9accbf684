// The four flows of the diagram: a description of each message, with a link to the standard. ceremonies.js runs the
// ceremonies, and refers to the steps by their ids.
//
// A message goes `from` one lane `to` another. If both are the same, the step is work inside that lane.

import { ANSWER, authentication, BEGIN, CONSENT, OPTIONS, webauthn } from "./flow-parts.js";

// --- Adding a passkey (in WebAuthn: registration) -----------------------------------------------------------------

const REGISTRATION = {
  id: "registration",
  name: "Adding a passkey",
  summary:
    "The authenticator makes a key pair for this site and returns the public key. The server stores no secret that an " +
    "attacker could steal.",
  steps: [
    {
      id: "begin",
      from: "browser",
      to: "server",
      title: "Request to add a passkey",
      text:
        "The request contains the access token and the step-up token of the login. A stolen access token alone cannot " +
        "add a passkey. Without a valid step-up token the server responds with 403, and the flow Step-up comes first.",
      spec: { text: "OWASP ASVS 5.0, 7.5.1", href: "https://github.com/OWASP/ASVS/tree/v5.0.0/5.0" },
    },
    {
      id: "options",
      from: "server",
      to: "browser",
      title: "Challenge and options",
      text:
        "The challenge is 32 random bytes. It is valid for five minutes and for one response. The options contain the " +
        "user, the supported algorithms, and the passkeys that the account already has.",
      spec: webauthn("5.4 Options for Credential Creation", "dictionary-makecredentialoptions"),
    },
    {
      id: "make",
      from: "browser",
      to: "authenticator",
      title: "Make a key pair for this site",
      text:
        "The page calls navigator.credentials.create(). The browser rejects an rp.id that is not the page's domain. It " +
        "writes the page's origin into the client data and gives their hash to the authenticator. So a phishing site " +
        "cannot use this passkey, even if it deceives the user.",
      spec: webauthn("6.3.2 The authenticatorMakeCredential Operation", "sctn-op-make-cred"),
    },
    {
      ...CONSENT,
      text:
        "The user touches the device, and enters a PIN or shows fingerprint or face. This data stays in the device. Two " +
        "bits tell the server that a user was present (UP) and that the device has verified the user (UV).",
    },
    {
      id: "attested",
      from: "authenticator",
      to: "browser",
      title: "The public key",
      text:
        "The private key stays in the authenticator. The attestation object contains the public key, the id of the new " +
        "credential, the flags and the signature counter.",
      spec: webauthn("6.5 Attestation", "sctn-attestation"),
    },
    ANSWER,
    {
      id: "complete",
      from: "browser",
      to: "server",
      title: "Send the credential",
      text: "The request contains the credential and the id of its challenge.",
      spec: webauthn("5.1 RegistrationResponseJSON", "dictdef-registrationresponsejson"),
    },
    {
      id: "checks",
      from: "server",
      to: "server",
      title: "The server verifies the credential",
      text:
        "The server deletes the challenge first, even if a check fails. Below, this page repeats the checks with the " +
        "values above. Only the server's own checks count.",
      spec: webauthn("7.1 Registering a New Credential", "sctn-registering-a-new-credential"),
    },
    {
      id: "stored",
      from: "server",
      to: "browser",
      title: "Registered",
      text:
        "The server has stored the credential's id, its public key and its counter. An attacker cannot log in with these. " +
        "The server has also revoked all other sessions and the step-up token.",
      spec: webauthn("4 Terminology: credential record", "credential-record"),
    },
  ],
};

// --- Login -----------------------------------------------------------------------------------------------------------

const SECOND_FACTOR = {
  id: "second-factor",
  name: "Login, both factors",
  summary: "First the password, which the user knows. Then the passkey, which the user has.",
  steps: authentication(
    [
      {
        id: "password",
        from: "browser",
        to: "server",
        title: "E-mail and password",
        text: "The page sends them as typed, over TLS. A password can be stolen, so a second factor follows.",
        spec: { text: "NIST SP 800-63B-4, passwords", href: "https://pages.nist.gov/800-63-4/sp800-63b.html" },
      },
      {
        id: "mfa",
        from: "server",
        to: "browser",
        title: "The second factor is required",
        text:
          "The password is correct and the account has a passkey. The mfa_token is valid for a few minutes, for the " +
          "next step only. The user is not logged in yet.",
        spec: { text: "NIST SP 800-63B-4, assurance level 2", href: "https://pages.nist.gov/800-63-4/sp800-63b.html" },
      },
      { ...BEGIN, text: "The mfa_token identifies the user." },
      {
        ...OPTIONS,
        text:
          "The challenge is valid for one response of this user. allowCredentials lists the passkeys of the account. The " +
          "server rejects all other passkeys.",
      },
    ],
    "The user touches the device. If the device can, it also checks PIN, fingerprint or face. The password is the first " +
      "factor, so the touch (UP) is enough for the second.",
  ),
};

const PASSKEY_ALONE = {
  id: "passkey-alone",
  name: "Login, passkey alone",
  summary:
    "A login without e-mail and password. The passkey identifies the user, and the device verifies the user: two factors " +
    "in one touch.",
  steps: authentication(
    [
      { ...BEGIN, text: "The request is empty: any client may send it, and it does not identify the user." },
      {
        ...OPTIONS,
        text:
          "The challenge is valid for one response. allowCredentials is empty, so the user selects any discoverable passkey " +
          "of this site. userVerification is required, because there is no password.",
      },
    ],
    "The user selects an account, and the device verifies the user. Without this verification (UV) the server rejects the login.",
  ),
};

// --- Step-up -------------------------------------------------------------------------------------------------------

/** The texts of a step-up at the steps that it shares with a login. */
const STEP_UP_CHANGES = {
  complete: {
    text:
      "The request contains the signed challenge, or the password. The fifth wrong proof revokes the session, because " +
      "its tokens are probably stolen.",
  },
  tokens: {
    title: "The step-up token",
    text:
      "The page repeats the rejected request with this token in the header Step-Up-Token. The token is valid in this " +
      "session only, for 10 minutes or until the passkeys or the password change.",
    spec: { text: "OWASP ASVS 5.0, 7.5.1", href: "https://github.com/OWASP/ASVS/tree/v5.0.0/5.0" },
  },
};

const STEP_UP = {
  id: "step-up",
  name: "Step-up",
  summary:
    "Before a sensitive request the user proves their identity again, with a passkey or with the password. The server " +
    "returns a step-up token.",
  steps: [
    {
      id: "refused",
      from: "server",
      to: "browser",
      title: "A proof of identity is required",
      text:
        "The step-up token is missing or has expired, or it was issued for a password although a passkey is required. " +
        "The 403 lists the accepted methods.",
      spec: { text: "OWASP ASVS 5.0, 7.5.1", href: "https://github.com/OWASP/ASVS/tree/v5.0.0/5.0" },
    },
    ...authentication(
      [
        { ...BEGIN, text: "The access token identifies user and session. The challenge is valid for these only." },
        {
          ...OPTIONS,
          text:
            "The challenge is valid for one response. allowCredentials lists the passkeys of this account. The server " +
            "rejects a challenge of a login here.",
        },
      ],
      "The user touches the device, and enters a PIN or shows fingerprint or face. If the device does not verify the user " +
        "(UV), the same request must contain the password.",
    ).map((step) => ({ ...step, ...STEP_UP_CHANGES[step.id] })),
  ],
};

export const FLOWS = [REGISTRATION, SECOND_FACTOR, PASSKEY_ALONE, STEP_UP];
