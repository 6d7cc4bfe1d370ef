"""The commands of our pages, typed in the environment that the page told its reader to make.

Each page has a folder of its own with the files that its commands name, and they are typed in the
page's order. Where a page names a site, there is a fake Whale. What cannot run here is listed with
the reason in ``NOT_RUN``; that it parses is seen to by tests/unit/test_commands_in_docs.py.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import made_evidence
from support.made_report import made_report
from support.shown_commands import PAGES, commands, words_of
from support.wheel_environments import WheelEnvironments

from conformance.report.writers import write_reports
from fake_whale import FakeWhale, InstanceOptions, WhaleWorld

ROOT = Path(__file__).parents[2]
SITE = "https://ctf.example.org"
WORLD = WhaleWorld.from_file(ROOT / "tests/fake_whale/data/whale-world.json")

ENVIRONMENTS = {
    "README.md": "all",
    "fake-whale.md": "",
    "migrate.md": "all",
    "gating.md": "check",
    "harness.md": "check",
    "how-to.md": "check",
    "model.md": "check",
}
"""The extra that a page has its reader install; ``all`` where it names none."""


@dataclass(frozen=True)
class Typed:
    """How a command is typed: what is added to it, and the exit codes that are right."""

    added: tuple[str, ...] = ()
    codes: frozenset[int] = frozenset({0})
    served: bool = False
    """It serves until it is told to stop: it is, once it has said where."""


SOME = Typed(("--select", "START-00*"), frozenset({2}))
"""A part of a check, which is no verdict: the whole of it takes minutes."""
TWO = ("--stories", "2", "--steps", "10")
TYPED = {
    r"whale-ready check --backend mine=.*": SOME,
    r"whale-ready check .*whale=.*": Typed(("--dry-run",)),
    r"whale-ready check .* --select .*": Typed(codes=SOME.codes),
    r"whale-ready demo.*": Typed(("--port", "0"), served=True),
    # As a gate: 1 says that there is something to do, or that something is worse.
    r"whale-ready compare .*": Typed(codes=frozenset({0, 1})),
    r"whale-ready database status": Typed(codes=frozenset({0, 1})),
    r"whale-ready readiness .*": Typed(codes=frozenset({0, 1, 2})),
    r"whale-ready preflight .*": Typed(codes=frozenset({0, 1, 2})),
    r"whale-ready story --backend cre:memory.*": Typed(TWO),
    r"fake-whale serve .*": Typed(("--port", "0"), served=True),
    r"fake-whale record .*": Typed(("--sessions", "1")),
}
"""Everything else is typed as it is, and ends with 0."""

NOT_RUN = {
    r".*….*": "parts are left out",
    r".* --database-file .*": "its database is made up: tests/conformance/test_databases.py",
    r"whale-ready bench( .*)?": "minutes of load: tests/integration/test_bench_on_docker.py",
    r"whale-ready check --report out --baseline .*": "minutes on Docker: tests/conformance",
    r"whale-ready check --backend broken=.*": "in a checkout: tests/mutants",
    r"whale-ready check --backend local-process .*": "tests/conformance/test_example.py",
    r"whale-ready harness check --backend .*": "of an installed package: test_example.py",
    r"whale-ready backends": "in the example's environment: test_example.py",
    r"whale-ready story --backend cre --stories.*": "minutes on Docker: tests/model",
    r"whale-ready firewall (apply|check|remove).*": "of the whole machine: test_firewall.py",
    r"whale-ready images .*": "fetches images: tests/integration/test_registry.py",
    r"whale-ready worker.*": "needs the site's Docker: tests/integration/test_worker_command.py",
}
"""Commands that cannot be typed here, with the reason and where else they are run."""


def way(line: str) -> Typed | str:
    """How a line is typed, or why it is not."""
    for pattern, reason in NOT_RUN.items():
        if re.fullmatch(pattern, " ".join(words_of(line))):
            return reason
    return next((typed for pattern, typed in TYPED.items() if re.fullmatch(pattern, line)), Typed())


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> WheelEnvironments:
    return WheelEnvironments(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Where a Whale is served whose accounts are those of ``world.toml`` and ``world.json``."""
    options = InstanceOptions(ready_delay=0, reachable=True)
    with FakeWhale(WORLD, instances=options) as fake, fake.serve() as server:
        yield server.url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the pages name."""
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    (tmp_path / "waivers.toml").symlink_to(ROOT / "waivers.toml")
    data = ROOT / "tests/fake_whale/data/whale-world.json"
    (tmp_path / "world.json").write_bytes(data.read_bytes())
    players = "".join(
        f'[[players]]\nuser_id = {user.id}\ntoken = "{user.token}"\n' for user in WORLD.users[1:4]
    )
    world = tmp_path / "world.toml"
    world.write_text(f"{players}[challenges]\nfirst = 1\nsecond = 2\nunknown = 999\n")
    world.chmod(0o600)
    (tmp_path / "challenges.toml").write_text('[[challenge]]\nid = 5\nname = "A"\nimage = "a"\n')
    (page,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/migrate.md").read_text(), re.DOTALL)
    (tmp_path / "plan.toml").write_text(page)
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package/backend.py").write_text(
        'import sys\n\nsys.path.append("tests")\nfrom reference.world import bare as make\n'
    )
    for name in ("main", "out"):
        write_reports(made_report(), tmp_path / name)
    for name in ("A", "B"):
        (tmp_path / f"{name}.json").write_bytes((tmp_path / "out/report.json").read_bytes())
    for name, content in made_evidence.made_now(
        check=made_evidence.check(),
        bench=made_evidence.bench(),
        preflight=made_evidence.preflight(),
    ).items():
        where = tmp_path if name == "preflight" else tmp_path / name
        where.mkdir(exist_ok=True)
        made_evidence.written(where, **{name: content})
    return tmp_path


def variables(folder: Path, programs: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in os.environ if name.startswith("DOCKER_")}
    return {
        **kept,
        "PATH": f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(folder),
        "BROWSER": "true",
        "CONTAINER_DATABASE_URL": f"sqlite:///{folder / 'state.db'}",
    }


def typed(line: str, how: Typed, folder: Path, programs: Path, site: str) -> tuple[int, str]:
    """Type a line; its exit code and what it said."""
    words = [word.replace(SITE, site) for word in words_of(line)]
    with subprocess.Popen(
        [str(programs / words[0]), *words[1:], *how.added],
        cwd=folder,
        env=variables(folder, programs),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            said = ""
            if how.served:
                assert process.stdout is not None
                for said in process.stdout:
                    if "http://" in said:
                        break
                process.send_signal(signal.SIGTERM)
            rest, _ = process.communicate(None if how.served else "y\n", timeout=100)
        finally:
            process.kill()
    return process.returncode, said + rest


RUN = [page for page in PAGES if any(isinstance(way(line), Typed) for line in commands(page))]


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_the_commands_of_a_page_run(
    page: Path, folder: Path, environments: WheelEnvironments, site: str
) -> None:
    programs = environments.programs(ENVIRONMENTS.get(page.name, "all"))
    wrong = []
    for line in commands(page):
        how = way(line)
        if isinstance(how, str):
            continue
        code, said = typed(line, how, folder, programs, site)
        if code not in how.codes or "Traceback" in said:
            wrong.append(f"{line}\n    exit code {code}\n{said}")
    assert not wrong, "\n".join(wrong)


def test_what_is_not_run_is_counted() -> None:
    lines = [line for page in PAGES for line in commands(page)]
    left = [line for line in lines if isinstance(way(line), str)]
    assert {
        pattern for pattern in NOT_RUN if not any(way(line) == NOT_RUN[pattern] for line in left)
    } == set()
    assert (len(lines) - len(left), len(left)) == (60, 27)
