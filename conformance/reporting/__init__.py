"""The files of a report, each in its own form; :mod:`conformance.report.writers` writes them."""
