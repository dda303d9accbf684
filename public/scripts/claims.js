// The meaning of each claim of an access token (RFC 7519, RFC 9068, RFC 8176). `sid`, `tv` and `role` are this service's
// own claims. The documentation has the same list.

export const CLAIMS = {
  iss: "Issuer: the service that issued the token.",
  aud: "Audience: the services that may accept the token. All others must reject it.",
  sub: "Subject: the user's id. It never changes and is never given to another user.",
  role: "The user's role, for other services. This service reads the role from its database at each request.",
  iat: "Issued at: the time of issue.",
  nbf: "Not before: the token is not valid before this time.",
  exp: "Expires: the token is not valid from this time on.",
  jti: "The token's own id.",
  sid: "Session id. After a logout this service rejects the token at once.",
  tv: "Token version: a number of the user. When it increases, all earlier tokens of the user are revoked.",
  amr: "Authentication methods: how the user logged in.",
  auth_time: "The time of the login. Neither a refresh nor a step-up changes it.",
  name: "The user's name.",
  email: "The user's e-mail address.",
};

/** Claims that are times, in seconds since 1970 (UTC). */
export const TIMES = new Set(["iat", "nbf", "exp", "auth_time"]);

/** Values of `amr` (RFC 8176 section 2). */
export const METHODS = {
  pwd: "a password",
  hwk: "a key that stays on one device",
  swk: "a key that may be copied to other devices",
  user: "a test of the user's presence",
  mfa: "more than one factor",
};
