"""Settings of the documents under /.well-known/."""

import base64
import hashlib

#: The SHA-256 of two signing certificates of Android apps.
CERTIFICATES = [hashlib.sha256(name).digest() for name in (b"upload key", b"store key")]
_APPS = [f"android:apk-key-hash:{base64.urlsafe_b64encode(each).decode().rstrip('=')}" for each in CERTIFICATES]
#: Settings with which each document exists.
SETTINGS = {
    "CHANGE_PASSWORD_URL": "https://login.example.com/account?from=manager#password",
    "PASSKEY_ENROLL_URL": "https://login.example.com/passkeys/new",
    "PASSKEY_MANAGE_URL": "https://login.example.com/passkeys",
    "SECURITY_CONTACT": "mailto:security-team@example.com, https://example.com/report",
    "SECURITY_TXT_EXPIRES": "2027-01-31T00:00:00Z",
    "ANDROID_PACKAGES": "com.example.app,com.example.beta_2",
    "IOS_APPS": "ABCDE12345.com.example.app,ABCDE12345.com.example.app-beta",
    "WEBAUTHN_RP_ID": "example.com",
    "WEBAUTHN_ORIGINS": ",".join(
        [
            *("https://example.com", "https://login.example.com", *_APPS),
            *("https://notexample.com", "https://example.com.example.org", "https://example.co.uk:8443"),
        ]
    ),
}
