"""A site from ``django-admin startproject``, with the additions of SimpleJWT's "getting started"."""
