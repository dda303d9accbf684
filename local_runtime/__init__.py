"""The local runtime: API Gateway and Lambda on one port, without Docker.

``python -m local_runtime`` reads template.yaml, and nothing else, for what to serve (``template``, on top of
``cloudformation``). A request then goes through these modules in this order: ``gateway`` (the pipeline), ``hosts``,
``routing``, ``authorizers`` and ``policies``, ``proxy_events``, ``workers`` (on their side ``environment`` and
``worker_process``), ``proxy_responses``. One that fails on its way is answered by ``gateway_responses``. ``terminal``,
``ports`` and ``reloading`` are for the developer's comfort.
"""
