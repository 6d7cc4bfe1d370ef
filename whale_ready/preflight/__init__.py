"""The checklist before players are sent to Whale, made executable: ``whale-ready preflight``.

``checks.py`` has the list; each check is a function of a
:class:`~whale_ready.preflight.site.PreflightSite` and lives in the module of its subject. A check
reads; only what an organiser asks for by ``--probe-account`` (``probe.py``) starts anything.
"""
