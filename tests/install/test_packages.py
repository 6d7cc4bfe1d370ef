"""What a stranger installs: wheel and sdist, each extra in a fresh environment without a checkout.

Both are built once. ``uv`` makes the environments, out of its cache where that has the packages.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import tarfile
import zipfile
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
import requests
from conftest import require
from support import wheel_environments
from support.wheel_environments import Built, build, uv

ROOT = Path(__file__).parents[2]
OURS = "https://github.com/OWNER/whale-ready"
WITH_WHALE = "preflight --whale http://127.0.0.1:1"
PINS = Path(os.environ.get("CTFD_HOME", "/nowhere")) / "requirements.txt"

HELPS = """
import json, sys
import click
from click.testing import CliRunner
from fake_whale.cli import main as fake_whale
from whale_ready.cli import main as whale_ready

def all_of(command, words):
    yield words
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from all_of(command.get_command(context, name), [*words, name])

found = {}
for name, command in (("whale-ready", whale_ready), ("fake-whale", fake_whale)):
    for words in all_of(command, []):
        done = CliRunner().invoke(command, [*words, "--help"])
        found[" ".join([name, *words])] = [done.exit_code, done.output]
json.dump(found, sys.stdout)
"""


def metadata(built: Built) -> Message:
    """What an index shows of the wheel."""
    with zipfile.ZipFile(built.wheel) as wheel:
        (name,) = (each for each in wheel.namelist() if each.endswith("/METADATA"))
        return message_from_bytes(wheel.read(name))


@dataclass(frozen=True)
class Environment:
    """A virtual environment, and an empty folder to run its commands in."""

    home: Path
    folder: Path

    def run(self, command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run one of its programs, with nothing of this process's surroundings or its user's."""
        program, *arguments = shlex.split(command)
        kept = {"LANG": os.environ["LANG"]} if "LANG" in os.environ else {}
        return subprocess.run(
            [self.home / "bin" / program, *arguments],
            cwd=self.folder,
            env={
                **kept,
                "HOME": str(self.home.parent),
                "PATH": f"{self.home / 'bin'}:{os.defpath}",
                **more,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("dist"))


def environment(folder: Path, *packages: str, **options: Path) -> Environment:
    place = folder / "place"
    place.mkdir()
    home = folder / "env"
    wheel_environments.environment(home, *packages, **options)
    return Environment(home, place)


@pytest.fixture(scope="session")
def bare(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """``pip install WHEEL``, and a stranger's pytest, which is no part of ours."""
    return environment(tmp_path_factory.mktemp("bare"), str(built.wheel))


@pytest.fixture(scope="session")
def checking(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return environment(tmp_path_factory.mktemp("check"), f"{built.wheel}[check]")


@pytest.fixture(scope="session")
def complete(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """As docs/ctfd-plugin.md and docs/migrate.md say, with CTFd's pins where CTFd is at hand."""
    pins = {"constraint": PINS} if PINS.is_file() else {}
    return environment(tmp_path_factory.mktemp("all"), f"{built.wheel}[all]", **pins)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """What a command that could not run says."""
    assert done.returncode == 3, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    return line


# the base install


@pytest.fixture(scope="session")
def helps(bare: Environment) -> dict[str, tuple[int, str]]:
    done = bare.run(f"python -c {shlex.quote(HELPS)}")
    assert done.returncode == 0, done.stderr
    found: dict[str, tuple[int, str]] = json.loads(done.stdout)
    return found


def test_every_commands_help_is_there_in_a_base_install(helps: dict[str, tuple[int, str]]) -> None:
    assert {"whale-ready check", "whale-ready rollout set", "fake-whale serve"} <= set(helps)
    assert not {name: said for name, (code, said) in helps.items() if code != 0}


def test_a_help_names_pages_by_an_address_that_is_in_the_metadata(
    built: Built, helps: dict[str, tuple[int, str]]
) -> None:
    urls = dict(each.split(", ") for each in metadata(built).get_all("Project-URL") or [])
    documents = urls["Documentation"]
    named = set()
    for name, (_, said) in helps.items():
        rest = re.sub(rf"^  {re.escape(documents)}/([\w-]+\.md)$", "", said, flags=re.MULTILINE)
        named |= set(re.findall(rf"{re.escape(documents)}/([\w-]+\.md)", said))
        assert "docs/" not in rest, f"{name} --help: {rest}"
    assert len(named) > 8
    assert not [each for each in named if not (ROOT / "docs" / each).is_file()]


@pytest.mark.parametrize(
    "command",
    [
        "whale-ready --help",
        "whale-ready --version",
        "python -m whale_ready --version",
        "fake-whale --help",
        "python -m fake_whale serve --help",
        "whale-ready backends",
        "whale-ready worker --once",
        "whale-ready rollout status",
        "whale-ready story --backend cre:memory --stories 1",
        "whale-ready story --backend whale:fake --stories 1",
    ],
)
def test_a_base_install_runs(bare: Environment, command: str) -> None:
    done = bare.run(command)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", ["fake-whale serve", "whale-ready demo --port 0"])
def test_a_base_install_serves(bare: Environment, command: str) -> None:
    program, *arguments = command.split()
    with subprocess.Popen(
        [bare.home / "bin" / program, *arguments],
        cwd=bare.folder,
        stdout=subprocess.PIPE,
        text=True,
    ) as served:
        try:
            assert served.stdout is not None
            (url, *_) = re.findall(r"http://127\.0\.0\.1:\d+", served.stdout.readline())
            assert requests.get(url, timeout=10).status_code < 500
        finally:
            served.terminate()
        assert served.wait(timeout=30) in (0, 130)


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("whale-ready check", "check"),
        ("whale-ready check --backend cre:memory --report out", "check"),
        ("whale-ready check --dry-run", "check"),
        ("whale-ready harness check --backend cre:memory", "check"),
        ("python -m whale_ready check", "check"),
        ("whale-ready bench", "bench"),
        ("whale-ready bench compare a b", "bench"),
        ("whale-ready metrics", "metrics"),
        ("whale-ready worker --metrics 0", "metrics"),
    ],
)
def test_what_needs_an_extra_says_which(
    bare: Environment, command: str, extra: str, tmp_path: Path
) -> None:
    done = bare.run(command, CONTAINER_DATABASE_URL=f"sqlite:///{tmp_path}/state.db")
    assert one_line(done).endswith(f"pip install 'whale-ready[{extra}]'")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("url", "extra"),
    [
        ("mysql+pymysql://me:secret@127.0.0.1:1/x", "whale-ready[mysql]'"),
        ("mysql://me:secret@127.0.0.1:1/x", "whale-ready[mysql]', and write mysql+pymysql://"),
        ("postgresql+psycopg2://me:secret@127.0.0.1:1/x", "whale-ready[postgresql]'"),
    ],
)
@pytest.mark.parametrize("command", ["database status", "rollout status", "worker", WITH_WHALE])
def test_a_database_without_its_driver_says_what_to_install(
    bare: Environment, url: str, extra: str, command: str
) -> None:
    done = bare.run(f"whale-ready {command}", CONTAINER_DATABASE_URL=url)
    if command is WITH_WHALE:  # one of its items
        assert extra in " ".join(done.stdout.split())
    else:
        assert one_line(done).endswith(extra)
    assert "secret" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


# somebody else's pytest, and somebody else's packages


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with packages of our names, and a backend beside them."""
    for name in ("engines", "conformance", "benchmarks"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("MINE = 1\n", encoding="utf-8")
    (tmp_path / "engines" / "mine.py").write_text("def make(): ...\n", encoding="utf-8")
    (tmp_path / "mymod.py").write_text(
        "from conformance.harnesses.cre import MemoryHarness as factory\n", encoding="utf-8"
    )
    (tmp_path / "theirs.py").write_text("from engines.mine import make\n", encoding="utf-8")
    (tmp_path / "test_mine.py").write_text(
        "import engines\n\ndef test_mine():\n    assert engines.MINE\n", encoding="utf-8"
    )
    return tmp_path


def test_a_strangers_pytest_runs_in_a_base_install(
    bare: Environment, project: Path, tmp_path: Path
) -> None:
    packages = tmp_path / "packages"
    python = bare.home / "bin" / "python"
    uv("pip", "install", "--quiet", "--python", python, "--target", packages, "pytest")
    (project / "test_fake.py").write_text("def test_it(fake_whale): ...\n", encoding="utf-8")
    here = Environment(bare.home, project)

    done = here.run("python -m pytest -q test_mine.py", PYTHONPATH=str(packages))
    assert done.returncode == 0, done.stdout + done.stderr

    done = here.run("python -m pytest -q test_fake.py", PYTHONPATH=str(packages))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("program", "path", "jobs"),
    [
        ("whale-ready", "", 2),
        ("whale-ready", ".", 2),
        ("python -m whale_ready", "", 2),
        ("python -m whale_ready", ".", 1),
    ],
)
def test_packages_of_our_names_are_not_in_the_way(
    checking: Environment, project: Path, program: str, path: str, jobs: int
) -> None:
    here = Environment(checking.home, project)
    asked = f"--jobs {jobs} --backend their=mymod:factory --select 'START-00*'"
    done = here.run(f"{program} check {asked}", **({"PYTHONPATH": path} if path else {}))
    assert done.returncode == 2, done.stdout + done.stderr
    assert "their (simulated): 9 pass" in " ".join(done.stdout.split())


def test_a_checkout_of_ours_is_run_where_another_is_installed(bare: Environment) -> None:
    done = Environment(bare.home, ROOT).run("python -B -m whale_ready --version")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("target", ["engines.mine:make", "theirs:make"])
def test_a_backend_in_a_package_of_our_name_is_one_sentence(
    checking: Environment, project: Path, target: str
) -> None:
    here = Environment(checking.home, project)
    said = one_line(here.run(f"whale-ready check --backend their={target}"))
    assert "engines is a package of whale-ready and hides yours" in said
    assert "rename yours" in said


def test_a_package_that_is_found_in_the_place_of_ours_is_one_sentence(
    bare: Environment, project: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys; sys.path.insert(0, sys.path[1]); import engines\n", encoding="utf-8"
    )
    done = Environment(bare.home, project).run("whale-ready --help", PYTHONPATH=str(tmp_path))
    said = one_line(done)
    assert "engines is a package of whale-ready, and Python finds another one" in said


# extras


EXTRAS = {
    "check": "whale-ready check --backend cre:memory --select START-001 --report out",
    "metrics": "whale-ready metrics",
    "bench": "python -c 'import benchmarks.bench_run, benchmarks.bench_report'",
    "mysql": "python -c 'from engines.state.database import Database as D; D(\"mysql+pymysql://x/y\")'",
    "postgresql": "python -c 'import psycopg2'",
    "dev": f"pytest --co -q -p no:cacheprovider -c {ROOT}/pyproject.toml {ROOT}/tests/unit",
    "all": "python -c 'import pymysql, benchmarks.bench_run, engines.metrics, fake_whale.fake'",
}


def test_every_extra_is_tried(built: Built) -> None:
    assert set(metadata(built).get_all("Provides-Extra") or []) == set(EXTRAS)


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_brings_what_it_is_for(built: Built, tmp_path: Path, extra: str) -> None:
    done = environment(tmp_path, f"{built.wheel}[{extra}]").run(EXTRAS[extra])
    assert done.returncode == (2 if extra == "check" else 0), done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_all_of_it_fits_what_ctfd_pins(complete: Environment) -> None:
    require("ctfd", PINS.is_file(), "set CTFD_HOME to a checkout of CTFd 3.8")
    pinned = {line.strip() for line in PINS.read_text(encoding="utf-8").splitlines()}
    done = complete.run(
        "python -c 'from importlib.metadata import version as v;"
        'print("\\n".join(f"{n}=={v(n)}" for n in ("click", "flask", "urllib3", "sqlalchemy")))\''
    )
    assert set(done.stdout.split()) <= pinned, done.stdout + done.stderr

    asked = "--backend cre:memory --backend whale:fake --select START-00*"
    done = complete.run(f"whale-ready check {asked}")
    assert done.returncode == 2, done.stdout + done.stderr  # a part is no verdict
    assert "9 pass" in done.stdout


def test_a_first_check_is_green(checking: Environment) -> None:
    done = checking.run("whale-ready check --backend cre:memory --backend whale:fake --jobs 2")
    assert done.returncode == 0, done.stdout + done.stderr


# the way to Whale, in the environments that its page tells to make


def told(page: str) -> list[str]:
    """Commands of ours in a page's console blocks."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```console\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip().startswith("whale-ready ")]


@pytest.mark.timeout(400)  # a dozen processes
def test_every_command_of_the_migration_is_understood_after_its_installation(
    complete: Environment,
) -> None:
    """Up to where each needs a Whale: none lacks a package, none ends with a traceback."""
    commands = {" ".join(line.split()[:3]).partition(" -")[0]: line for line in told("migrate.md")}
    assert {"whale-ready check", "whale-ready bench", "whale-ready rollout status"} <= set(commands)
    for line in commands.values():
        words = shlex.split(line, comments=True)
        done = complete.run(shlex.join(words).replace("https://ctf.example.org", "https://[::1]:1"))
        said = done.stdout + done.stderr
        assert done.returncode in (0, 1, 2, 3), f"{line}: {said}"
        assert "Traceback" not in said, f"{line}: {said}"
        assert "not installed" not in said, f"{line}: {said}"


@pytest.mark.parametrize("page", ["migrate.md", "ctfd-plugin.md"])
def test_the_pages_say_what_is_tried_here(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert "pip install -c requirements.txt 'whale-ready[all]'\n" in text


def test_what_ctfd_whale_imports_fits_beside_us(built: Built, tmp_path: Path) -> None:
    require("ctfd", PINS.is_file(), "set CTFD_HOME to a checkout of CTFd 3.8")
    text = (ROOT / "docs" / "ctfd-plugin.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"pip install -c requirements.txt 'whale-ready\[all\]' (.+)", text)
    beside = environment(
        tmp_path, f"{built.wheel}[all]", "redis", *shlex.split(line), constraint=PINS
    )
    done = beside.run("python -c 'import docker, flask_apscheduler, flask_redis, redis'")
    assert done.returncode == 0, done.stderr


# what is in the packages


def test_the_sdist_has_what_its_readme_speaks_of(built: Built) -> None:
    with tarfile.open(built.sdist) as sdist:
        held = {member.name.partition("/")[2] for member in sdist.getmembers()}
    for name in ("action.yml", "tox.ini", "CHANGELOG.md", "LICENSE"):
        assert name in held
    for folder in ("tests", "examples", "scripts", "docs", "benchmarks"):
        ours = subprocess.run(
            ["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout.split()
        assert set(ours) <= held
        assert any(each.startswith(f"{folder}/") for each in held)


def test_an_index_shows_a_readme_whose_links_lead_somewhere(built: Built) -> None:
    text = str(metadata(built).get_payload())
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 30
    assert not [link for link in links if not link.startswith(("https://", "#"))]
    ours = [link for link in links if "OWNER" in link]
    for our in ours:
        path = re.sub(r"^https://[a-z.]*github[a-z]*\.com/OWNER/whale-ready/(blob/)?main/", "", our)
        assert (ROOT / path.partition("#")[0]).exists(), our
    assert metadata(built)["Description-Content-Type"].startswith("text/markdown")


def test_one_address_is_used_everywhere(built: Built) -> None:
    urls = dict(each.split(", ") for each in metadata(built).get_all("Project-URL") or [])
    assert {"Homepage", "Documentation", "Changelog", "Issues"} <= set(urls)
    assert all(url.startswith(OURS) for url in urls.values())
    repository = OURS.removeprefix("https://github.com/")
    pages = [*ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/.github/workflows/*.yml")]
    used = {
        found
        for page in pages
        for found in re.findall(r"uses: ([\w-]+/whale-ready)@", page.read_text(encoding="utf-8"))
    }
    assert used == {repository}
