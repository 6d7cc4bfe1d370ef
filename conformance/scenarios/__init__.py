"""The scenarios: one file per group of rules, one scenario per rule.

They ask for hooks and capabilities, never for a backend's name, and are run by
``whale-ready check`` or by ``pytest --backend SPEC --pyargs conformance.scenarios``.
"""
