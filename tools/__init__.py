"""Tools by purpose: operators' commands, attacks, an authenticator, and checks of the documents and the template."""
