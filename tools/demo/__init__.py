"""``make demo``: a local service that is filled with a day of use."""
