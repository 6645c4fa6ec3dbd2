"""The bundle that ships with the program stays in order, as it is."""

from robot_mbrl.demo.bundle import shipped_bundle
from robot_mbrl.policies.bundle import read_bundle
from robot_mbrl.policies.onnx_step import OnnxStep


def test_the_shipped_bundle_can_be_used() -> None:
    folder = shipped_bundle()
    assert folder is not None
    bundle = read_bundle(folder)
    assert bundle.manifest.task.name == "reach"
    assert OnnxStep(bundle).is_finite()
