"""What `robot-mbrl export` does once its libraries are there."""

from pathlib import Path

import torch
import typer
from rich.console import Console

from robot_mbrl.learning import dreamer_export
from robot_mbrl.policies.bundle_manifest import POLICY


def export_run(
    run: Path, folder: Path, newest: bool, ensemble: Path | None, thresholds: Path | None, parity_steps: int
) -> None:
    """Export the run in `run` to the bundle `folder`, and print what came of it.

    Raises:
        ConfigError: see `learning.dreamer_export.export_run`.
    """
    torch.set_num_threads(1)
    with Console(stderr=True).status("exporting, and comparing with torch"):
        exported = dreamer_export.export_run(
            run, folder, newest=newest, ensemble=ensemble, thresholds=thresholds, parity_steps=parity_steps
        )
    manifest = exported.bundle.manifest
    typer.echo(f"{folder}: {manifest.task.name} with {manifest.arm}, {manifest.data}; seal {manifest.seal[:12]}")
    typer.echo(f"{POLICY}: {len(exported.bundle.policy)} bytes, SHA-256 {manifest.files[POLICY]}")
    typer.echo(f"largest difference from torch in {exported.steps} steps: {exported.difference:.3g}")
