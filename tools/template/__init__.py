"""Translate, check and serve template.yaml."""
