"""The bundle that ships: it is the one that the documentation names, and it reaches."""

import numpy as np

from robot_mbrl.demo.bundle import shipped_bundle
from robot_mbrl.policies.bundle import read_bundle
from robot_mbrl.runtime.bundle_trial import try_bundle
from tests.docs.pages import ROOT

EPISODES = 20


def test_it_ships_and_the_documentation_names_its_seal() -> None:
    folder = shipped_bundle()
    assert folder is not None
    manifest = read_bundle(folder).manifest
    assert (manifest.learner, manifest.task.name, manifest.arm) == ("dreamer", "reach", "so101")
    assert manifest.training["delay"] == [1, 3], "it was trained with the delay of a deployment"
    assert manifest.seal in (ROOT / "docs" / "dreamer.md").read_text(encoding="utf-8")


def test_it_reaches_most_goals_of_the_twin() -> None:
    """The documentation tells its success over 100 episodes; here a few are enough to know that it works at all."""
    folder = shipped_bundle()
    assert folder is not None
    trials = try_bundle(folder, "twin", EPISODES, seed=0)
    assert np.mean([trial.success for trial in trials]) > 0.6
    assert np.median([trial.distance for trial in trials]) < 0.02
