"""Publish the pages in public/ to the bucket of a deployment."""
