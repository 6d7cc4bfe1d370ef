"""Which rules a run is about: those of its profile and its version of the contract, or some."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from conformance.registry.backends import BackendSpecError
from conformance.spec.rules import CORE, RULES, SPEC_VERSION, Profile, Rule


def rules_of(profile: Profile, spec: int, rules: Iterable[Rule] = RULES) -> dict[str, Rule]:
    """The rules of a profile that version ``spec`` of the contract has, by id, in its order."""
    return {
        rule.id: rule
        for rule in rules
        if rule.since <= spec and (profile is Profile.FULL or rule.group in CORE)
    }


@dataclass(frozen=True)
class RuleSelection:
    """The rules of one run."""

    profile: Profile
    spec: int
    rules: frozenset[str]
    """Ids of those that are run."""
    left_out: int
    """How many of profile and version are not."""

    @classmethod
    def of(
        cls,
        globs: Iterable[str] = (),
        profile: Profile = Profile.FULL,
        spec: int = SPEC_VERSION,
    ) -> RuleSelection:
        """The rules that ``globs`` mean; all of profile and version when there is none.

        Raises:
            BackendSpecError: there is no such version, or a glob matches nothing of it.
        """
        if not 1 <= spec <= SPEC_VERSION:
            known = "only version 1" if SPEC_VERSION == 1 else f"versions 1 to {SPEC_VERSION}"
            raise BackendSpecError(
                f"--spec {spec}: there is no such version of the contract; this tool knows {known}"
            )
        known_rules = rules_of(profile, spec)
        found: set[str] = set()
        globs = list(globs)
        for glob in globs:
            matched = {rule for rule in known_rules if fnmatchcase(rule, glob.upper())}
            if not matched:
                raise BackendSpecError(
                    f"{glob} matches no scenario of profile {profile.value}, contract version "
                    f"{spec}; write an id as START-001, or a group as START-*"
                )
            found |= matched
        chosen = frozenset(found if globs else known_rules)
        return cls(profile, spec, chosen, len(known_rules) - len(chosen))
