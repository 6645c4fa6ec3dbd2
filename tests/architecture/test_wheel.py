"""The wheel, installed by pip into a clean environment, runs from an empty folder."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 300.0
"""A command that takes longer hangs [s]."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the files that git knows."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    names = [name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]
    subprocess.run(["cp", "--parents", "--no-dereference", *names, str(source)], cwd=ROOT, check=True)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_every_module_and_data_file_once(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert len(names) == len(set(names))
    assert "robot_mbrl/drivers/arms/so101_follower.yaml" in names
    assert "robot_mbrl/drivers/feetech/codec.py" in names
    assert "robot_mbrl/sim/plant.py" in names
    assert "robot_mbrl/py.typed" in names
    assert {name.split("/")[0] for name in names} == {
        "robot_mbrl",
        next(n for n in names if "dist-info" in n).split("/")[0],
    }


def test_the_wheel_asks_for_no_torch(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    metadata = archive.read(next(name for name in archive.namelist() if name.endswith("METADATA"))).decode()
    torch = [line for line in metadata.splitlines() if line.startswith("Requires-Dist: torch")]
    assert torch == ['Requires-Dist: torch>=2.13; extra == "train"']


@dataclass(frozen=True)
class Installed:
    """An environment that pip has installed the wheel into, and an empty folder to work in."""

    environment: Path
    folder: Path

    def run(self, program: str, *arguments: str) -> str:
        """Standard output of a program of the environment, which must succeed."""
        variables = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        command = [str(self.environment / "bin" / program), *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=variables, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel as pip installs it. Its dependencies are those of the tests' environment, the project itself is not.

    The libraries come by way of a path file. Python looks for path files only in the environment's own folder, so the
    editable project, which is one in the other folder, stays out.
    """
    environment, folder = tmp_path_factory.mktemp("environment"), tmp_path_factory.mktemp("empty")
    venv.create(environment, with_pip=True, symlinks=True)
    result = Installed(environment, folder)
    flags = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-index")
    result.run("python", "-m", "pip", "install", *flags, str(wheel))
    site = Path(result.run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    libraries = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (site / "libraries_of_the_tests.pth").write_text("\n".join(libraries) + "\n", encoding="utf-8")
    return result


def test_every_module_comes_from_the_wheel(installed: Installed) -> None:
    """Also those whose folders stand at the root of the source tree."""
    names = ["robot_mbrl", *(f"robot_mbrl.{part}" for part in ("cli.main", "drivers", "sim", "policies", "safety"))]
    script = f"import importlib; print(*(importlib.import_module(name).__file__ for name in {names}), sep='\\n')"
    files = installed.run("python", "-c", script).splitlines()
    assert len(files) == len(names)
    assert all(Path(file).is_relative_to(installed.environment) for file in files)


def test_the_installed_program_runs_from_an_empty_folder(installed: Installed) -> None:
    """Its version, its help, and an arm: the definition is read from YAML and stepped by the physics."""
    assert "0.1.0" in installed.run("robot-mbrl", "--version")
    assert "virtual-arm" in installed.run("robot-mbrl", "--help")
    told = installed.run("robot-mbrl", "twin", "--arm", "koch_follower", "--seconds", "0.1")
    assert "shoulder_pan" in told
    assert "in real time" in told
    assert list(installed.folder.iterdir()) == []
