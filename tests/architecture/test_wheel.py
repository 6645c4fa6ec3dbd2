"""The wheel, installed by itself into a clean environment, runs from an empty folder."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


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


def test_the_installed_wheel_runs_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    """Dependencies come from the environment of the tests, the project itself only from the wheel."""
    environment, empty = tmp_path / "environment", tmp_path / "empty"
    empty.mkdir()
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    site = subprocess.run(
        [python, "-c", "import site; print(site.getsitepackages()[0])"], check=True, capture_output=True, text=True
    ).stdout.strip()
    zipfile.ZipFile(wheel).extractall(site)
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    variables = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    script = (
        "import robot_mbrl.cli.main as cli, robot_mbrl.sim, robot_mbrl.drivers.serial_arm as arm, sys\n"
        "assert cli.__file__.startswith(sys.prefix) and arm.__file__.startswith(sys.prefix), cli.__file__\n"
        "sys.argv = ['robot-mbrl', '--version']\n"
        "cli.main()\n"
    )
    # -P keeps the folder out of the path; the libraries come after the wheel, without their .pth files.
    prelude = f"import sys; sys.path += {libraries!r}\n"
    result = subprocess.run(
        [python, "-P", "-c", prelude + script], cwd=empty, env=variables, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "0.1.0" in result.stdout
