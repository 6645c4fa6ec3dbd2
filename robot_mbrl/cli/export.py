"""`robot-mbrl export`."""

from pathlib import Path
from typing import Annotated

import typer

from robot_mbrl.cli.extras import needs_training


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run of `robot-mbrl train dreamer` on an arm's task.")],
    folder: Annotated[Path, typer.Argument(help="Folder of the bundle; must not be there yet.")],
    newest: Annotated[
        bool, typer.Option("--newest", help="Take the newest checkpoint, not that of the best evaluation.")
    ] = False,
    ensemble: Annotated[
        Path | None, typer.Option(help="ONNX ensemble with which the monitor shall watch the policy.")
    ] = None,
    thresholds: Annotated[
        Path | None, typer.Option(help="Its thresholds, as `robot-mbrl calibrate monitor` wrote them.")
    ] = None,
    parity_steps: Annotated[
        int, typer.Option(min=1, help="Random recurrent steps in which torch and onnxruntime are compared.")
    ] = 1000,
) -> None:
    """Export a trained policy to a deployment bundle: ONNX, and a manifest of all that must be known to run it.

    The bundle is read back, run without torch, and compared with torch; nothing is written where they differ. Then
    `robot-mbrl deploy --policy bundle:FOLDER` runs it on the arm that it was trained for. Touches no hardware.
    """
    needs_training("export", "export_run").export_run(run, folder, newest, ensemble, thresholds, parity_steps)
