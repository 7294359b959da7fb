"""The helper of mode H (SPEC 10): a small server, run by somebody else than the host, that knows masks and no updates.

`request`, `roster` and `secret` need nothing beyond the core package; `app` and `serve` need the extra `helper`.
"""
