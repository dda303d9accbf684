"""What translates, checks and serves template.yaml."""
