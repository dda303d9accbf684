"""Links and codes that are sent by mail: created, proved once, and revoked."""
