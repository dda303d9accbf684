"""What the service decides. Plain values in, plain values out; failures are raised from ``auth_common.errors``."""
