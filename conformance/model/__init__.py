"""A model of the contract in plain Python, and what it is held against.

:mod:`~conformance.model.rulebook` says what may be answered; stories
(:mod:`~conformance.model.model_runner`) and histories of parallel calls
(:mod:`~conformance.model.linearizability`) are judged by it. It knows of no implementation.
docs/model.md tells what it says and how a story is read.
"""
