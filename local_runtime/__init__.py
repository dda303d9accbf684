"""The local runtime: API Gateway and Lambda for a SAM template on one port, without Docker.

``README.md`` in this folder says what it serves, how a project configures it, and what each module does.
"""
