"""What stands around the arm: table, a free object, a target mark."""

from typing import Annotated

from pydantic import Field

from robot_mbrl.contracts.config import Settings

Position = tuple[float, float, float]


class Cube(Settings):
    """A free cube; its mass and friction are the truth's.

    Attributes:
        edge: [m].
        position: of its centre at the start [m].
    """

    edge: Annotated[float, Field(gt=0.0)] = 0.025
    position: Position = (0.25, 0.0, 0.0125)


class Scene(Settings):
    """A scene. The arm's base stands at the origin and reaches along +x, the table is the plane z = 0.

    Attributes:
        table: whether there is a table.
        cube: a free object, or None.
        target: where a mark without contact is [m], or None.
        timestep: of the physics [s].
    """

    table: bool = True
    cube: Cube | None = None
    target: Position | None = None
    timestep: float = Field(default=0.001, gt=0.0, le=0.02)
