"""Every robot obeys every law."""

import pytest

from tests.conformance.harness import HarnessFactory
from tests.conformance.laws import LAWS, Law


@pytest.mark.parametrize("law", LAWS, ids=lambda law: str(law.__name__))
def test_conformance(make_harness: HarnessFactory, law: Law) -> None:
    with make_harness() as harness:
        law(harness)
