"""Broken backends by a factory, for ``--backend NAME=package.module:factory``."""

from __future__ import annotations

from reference.breakages import FlagInTheMessage, ForgetfulStop
from reference.world import ReferenceHarness


def forgetful_stop() -> ReferenceHarness:
    return ReferenceHarness(ForgetfulStop)


def flag_in_the_message() -> ReferenceHarness:
    return ReferenceHarness(FlagInTheMessage)
