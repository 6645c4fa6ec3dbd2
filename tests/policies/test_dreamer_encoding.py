"""What goes in and comes out: vectors in symlog, images in bytes, both together; and that a small pair can learn."""

import math

import pytest
import torch

from robot_mbrl.policies.dreamer_encoding import Decoder, Encoder, vector_view
from robot_mbrl.policies.dreamer_optimizer import LaProp
from robot_mbrl.policies.dreamer_settings import Difference, DreamerSpaces
from tests.policies.small_dreamer import SETTINGS, generator


@pytest.mark.parametrize(("vector", "image"), [(5, 0), (0, 3), (5, 1)])
def test_any_mixture_is_encoded_and_decoded(vector: int, image: int) -> None:
    spaces = DreamerSpaces(vector=vector, image=image, actions=1)
    encoder, decoder = Encoder(spaces, SETTINGS, generator()), Decoder(9, spaces, SETTINGS, generator())
    observation = {
        "vector": torch.randn(2, 3, max(vector, 1)),
        "image": torch.randint(0, 256, (2, 3, max(image, 1), 64, 64), dtype=torch.uint8),
    }
    seen = {name: value for name, value in observation.items() if getattr(spaces, name)}
    assert encoder(seen).shape == (2, 3, encoder.width)
    features = torch.randn(2, 3, 9)
    assert {name: value.shape for name, value in decoder(features).items()} == {n: v.shape for n, v in seen.items()}
    assert decoder.loss(features, seen).shape == (2, 3)


def test_the_loss_sums_squares_in_symlog_units_and_in_shares_of_a_byte() -> None:
    spaces = DreamerSpaces(vector=2, image=1, actions=1)
    decoder = Decoder(3, spaces, SETTINGS, generator())
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.zero_()
    observation = {
        "vector": torch.tensor([[math.e - 1.0, 0.0]]),
        "image": torch.full((1, 1, 64, 64), 255, dtype=torch.uint8),
    }
    found = decoder.loss(torch.zeros(1, 3), observation)
    assert found.item() == pytest.approx(1.0 + 64 * 64 * 0.25)


def test_differences_are_seen_besides_the_vector_each_in_its_magnitude() -> None:
    gap = Difference(minuend=3, subtrahend=1, length=2, magnitude=0.5)
    spaces = DreamerSpaces(vector=5, actions=1, magnitudes=(1.0, 2.0, 2.0, 4.0, 1.0), differences=(gap,))
    assert spaces.seen == 7
    seen = torch.tensor([7.0, 1.0, 2.0, 4.0, 8.0]) @ vector_view(spaces)
    assert seen.tolist() == [7.0, 0.5, 1.0, 1.0, 8.0, 6.0, 12.0]
    decoder = Decoder(3, spaces, SETTINGS, generator())
    assert decoder(torch.zeros(2, 3))["vector"].shape == (2, 7)
    vector = torch.tensor([0.0, math.log(3.0), 0.0, -math.log(2.0), 0.0, 9.0, 9.0])
    assert decoder.observed(vector).tolist() == pytest.approx([0.0, 4.0, 0.0, -4.0, 0.0])


def test_a_difference_of_what_is_not_there_is_refused() -> None:
    gap = Difference(minuend=3, subtrahend=0, length=3, magnitude=1.0)
    with pytest.raises(ValueError, match="index 6 of a vector of 5"):
        DreamerSpaces(vector=5, actions=1, differences=(gap,))


def test_a_bright_spot_is_found_again() -> None:
    spaces = DreamerSpaces(image=1, actions=1)
    encoder = Encoder(spaces, SETTINGS, generator())
    decoder = Decoder(encoder.width, spaces, SETTINGS, generator())
    images = torch.zeros((4, 1, 64, 64), dtype=torch.uint8)
    for index, (row, column) in enumerate([(0, 0), (0, 32), (32, 0), (32, 32)]):
        images[index, 0, row : row + 32, column : column + 32] = 255
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = LaProp(parameters, SETTINGS.model_copy(update={"learning_rate": 0.01, "warmup": 0}))
    for _ in range(60):
        loss = decoder.loss(encoder({"image": images}), {"image": images}).mean()
        optimizer.step(torch.autograd.grad(loss, parameters))
    decoded = decoder(encoder({"image": images}))["image"]
    wrong = ((decoded > 0.5) != (images > 127)).float().mean()
    assert wrong < 0.05
