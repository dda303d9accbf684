"""Operations: health, clean-up, migrations, key rotation and public keys."""
