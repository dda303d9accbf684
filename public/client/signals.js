// The Signal API (WebAuthn section 5.1.10): tell authenticators which passkeys of the user are valid, and the user's
// current name. Then they no longer offer a deleted passkey, and show the right account.
//
// There is a third method, signalUnknownCredential. It deletes a passkey for good, even if it is unknown only because of
// an older database. So this client never calls it. An authenticator that receives a list may show a hidden passkey again
// after the next list.

/** Signal the body of `GET /webauthn/credentials`. Does nothing in browsers without the API, and if the server forbids it. */
export function signalPasskeys({ items, signals }) {
  if (!signals) return; // The operator has switched them off, for example after a restore of the database.
  const { rp_id: rpId, user_id: userId, name, display_name: displayName } = signals;
  const allAcceptedCredentialIds = items.map(({ credential_id }) => credential_id);
  signal("signalAllAcceptedCredentials", { rpId, userId, allAcceptedCredentialIds });
  signal("signalCurrentUserDetails", { rpId, userId, name, displayName });
}

async function signal(method, details) {
  try {
    await globalThis.PublicKeyCredential?.[method]?.(details);
  } catch {
    // The user has lost nothing: the next login sends the signal again.
  }
}
