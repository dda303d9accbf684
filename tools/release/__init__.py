"""``make release``: prepare a release. The maintainer reviews, commits, tags and pushes it."""
