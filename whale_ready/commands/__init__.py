"""The commands of ``whale-ready``, one module each."""
