"""The local runtime: API Gateway and Lambda on one port, without Docker.

``python -m local_runtime`` reads template.yaml, and nothing else, for what to serve. A request goes through these
modules in this order: ``gateway`` (the pipeline), ``routing``, ``authorizers`` and ``policies``, ``proxy_events``,
``workers`` (and on their side ``worker_process``), ``proxy_responses``; a request that fails on its way is answered by
``gateway_responses``.
"""
