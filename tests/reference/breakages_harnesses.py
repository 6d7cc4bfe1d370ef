"""Broken backends by a factory, for ``--backend NAME=package.module:factory``."""

from __future__ import annotations

from reference.backend import ReferenceHarness
from reference.breakages import FlagInTheMessage, ForgetfulStop


def forgetful_stop() -> ReferenceHarness:
    return ReferenceHarness(ForgetfulStop)


def flag_in_the_message() -> ReferenceHarness:
    return ReferenceHarness(FlagInTheMessage)
