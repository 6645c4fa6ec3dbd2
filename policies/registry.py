"""Policies by name, as `--policy NAME` or `--policy NAME:FILE` gives it. A new policy is one file and one line here."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from robot_mbrl.contracts.config import load_settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.policy import Policy
from robot_mbrl.policies.joint_space import OBSERVED, JointSpace
from robot_mbrl.policies.onnx_policy import load_policy
from robot_mbrl.policies.scripted import ScriptedPolicy, load_trajectory
from robot_mbrl.policies.sine import SinePolicy, SineSettings
from robot_mbrl.policies.tour import TourPolicy, load_tour


def _sine(path: Path | None, space: JointSpace) -> Policy:
    return SinePolicy(SineSettings() if path is None else load_settings(path, SineSettings), space)


def _scripted(path: Path | None, space: JointSpace) -> Policy:
    if path is None:
        raise ConfigError("policy scripted needs a trajectory: give scripted:FILE with a file of waypoints")
    return ScriptedPolicy(load_trajectory(path), space, str(path))


def _bundle(path: Path | None, space: JointSpace) -> Policy:
    if path is None:
        raise ConfigError("policy bundle needs a folder: give bundle:FOLDER, as `robot-mbrl export` makes it")
    return load_policy(path, space)


_PLANNER: Final = "robot_mbrl.learning.planner_deployment"
"""Named, not imported: it needs torch, and a robot computer without torch runs all other policies."""


def _pets(path: Path | None, space: JointSpace) -> Policy:
    try:
        module = importlib.import_module(_PLANNER)
    except ImportError as error:
        raise ConfigError(
            f"policy pets plans with torch, which cannot be imported ({error}): pip install 'robot-mbrl[train]'"
        ) from error
    policy: Policy = module.build(path, space)
    return policy


def _tour(path: Path | None, space: JointSpace) -> Policy:
    if path is None:
        raise ConfigError("policy tour needs a file: give tour:FILE with the legs of a tour")
    settings = load_tour(path)
    names = dict.fromkeys(leg.policy for leg in settings.legs)
    with_goal = replace(space, observed=(*OBSERVED, "goal"))
    # A leg without a goal has none to observe, even where the deployment gives one to all.
    aimed = {leg.policy for leg in settings.legs if leg.goal is not None}
    return TourPolicy(settings, {name: build_policy(name, with_goal if name in aimed else space) for name in names})


POLICIES: Final[dict[str, Callable[[Path | None, JointSpace], Policy]]] = {
    "bundle": _bundle,
    "pets": _pets,
    "scripted": _scripted,
    "sine": _sine,
    "tour": _tour,
}
"""Builders by name; each gets the file that was named after the colon, if any."""


def build_policy(spec: str, space: JointSpace) -> Policy:
    """The policy that `spec`, `NAME` or `NAME:FILE`, stands for, checked against the arm.

    Raises:
        ConfigError: there is no such policy, or its file is missing or wrong.
        LimitViolation: it would leave the arm's limits.
    """
    name, _, file = spec.partition(":")
    if name not in POLICIES:
        raise ConfigError(f"unknown policy {name!r}: give one of {', '.join(sorted(POLICIES))}, or NAME:FILE")
    return POLICIES[name](Path(file) if file else None, space)
