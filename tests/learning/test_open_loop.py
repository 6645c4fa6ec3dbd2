"""Pictures of predictions: what is drawn is what was predicted."""

from pathlib import Path

import numpy as np
from matplotlib.lines import Line2D
from PIL import Image

from robot_mbrl.learning.open_loop import MOST_DRAWN, draw, film, save_prediction


def test_reward_and_components_are_drawn_beside_what_came() -> None:
    random = np.random.default_rng(0)
    truth = {"observation": random.random((2, 9, 40)), "reward": random.random((2, 9))}
    predicted = {name: values + 1.0 for name, values in truth.items()}
    figure = draw(truth, predicted)
    assert len(figure.axes) == 1 + MOST_DRAWN
    assert figure.axes[0].get_title(loc="left") == "reward"
    assert figure.axes[-1].get_title(loc="left") == "observation[39]"
    for axes, component in ((figure.axes[0], "reward"), (figure.axes[1], "observation")):
        true, imagined, _ = (line for line in axes.lines if isinstance(line, Line2D))
        wanted = truth["reward"][0] if component == "reward" else truth["observation"][0, :, 0]
        assert np.array_equal(np.asarray(true.get_ydata()), wanted)
        assert np.array_equal(np.asarray(imagined.get_ydata()), wanted + 1.0)


def test_a_film_has_truth_above_prediction_above_difference() -> None:
    truth = np.zeros((2, 3, 4, 4, 3), np.uint8)
    truth[1] = 255
    frames = film(truth, np.full((2, 3, 4, 4, 3), 0.6))
    assert frames.shape == (3, 12, 8, 3)
    assert np.unique(frames[:, :4, :4]).tolist() == [0]
    assert np.unique(frames[:, :4, 4:]).tolist() == [255]
    assert np.unique(frames[:, 4:8]).tolist() == [153]
    assert np.unique(frames[:, 8:, :4]).tolist() == [204], "0.6 too bright: half of 1.6"
    assert np.unique(frames[:, 8:, 4:]).tolist() in ([76], [77]), "0.4 too dark: half of 0.6"


def test_images_get_a_video_of_all_rows(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    truth = {"observation": random.integers(0, 255, (1, 7, 64, 64, 1), np.uint8), "reward": np.zeros((1, 7))}
    predicted = {"observation": random.random((1, 7, 64, 64, 1)), "reward": np.ones((1, 7))}
    files = save_prediction(tmp_path / "of-images", truth, predicted)
    assert [path.suffix for path in files] == [".png", ".gif"]
    with Image.open(files[1]) as video:
        assert getattr(video, "n_frames", 1) == 7
        assert video.size == (64, 192)
