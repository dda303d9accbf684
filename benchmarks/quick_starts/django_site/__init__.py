"""What ``django-admin startproject`` makes, and what SimpleJWT's "getting started" adds."""
