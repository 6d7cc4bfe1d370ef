"""The files of a report, each in its own form; :mod:`conformance.reports` writes them."""
