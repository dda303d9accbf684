// What each claim of our access tokens means (RFC 7519, RFC 9068, RFC 8176; `sid`, `tv` and `role` as this service uses
// them). The README has the same list.

export const CLAIMS = {
  iss: "Issuer: who made the token.",
  aud: "Audience: whom it is for. Anybody else must refuse it.",
  sub: "Subject: the user's id. It never changes, and nobody else ever gets it.",
  role: "What the person may do, for other services. This one looks into its database at every request.",
  iat: "Issued at.",
  nbf: "Not before: earlier than this it does not count.",
  exp: "Expires: from here on it does not count.",
  jti: "The token's own id.",
  sid: "The session, that is the login, that it belongs to. Log out, and the token ends here at once.",
  tv: "Token version: the user's number at the login. Raising it ends all of their tokens.",
  amr: "Authentication methods: how the person logged in.",
  auth_time: "When the user logged in. Neither a refresh nor a step-up changes it.",
  name: "The person's name.",
  email: "The person's e-mail address.",
};

/** Claims that are times: seconds since 1970, UTC. */
export const TIMES = new Set(["iat", "nbf", "exp", "auth_time"]);

/** Values of `amr` (RFC 8176 section 2). */
export const METHODS = {
  pwd: "a password",
  hwk: "a key that stays in one device",
  swk: "a key that may be copied to other devices",
  user: "a test that the person was there",
  mfa: "more than one factor",
};
