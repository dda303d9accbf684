// The client of the service, for all modules of a page. The session is shared with the other open pages of this origin.

import { SecureBackend } from "../client/secure-backend.js";

export const backend = new SecureBackend();
export const { session, stepUp } = backend;
