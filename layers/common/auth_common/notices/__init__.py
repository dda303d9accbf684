"""Notices: mails that tell a user what has happened to the account, with a link to secure the account."""
