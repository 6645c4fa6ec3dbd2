"""How an arm's model is written down: links with frames, inertias and primitive shapes. Data only."""

from dataclasses import dataclass, field

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
"""w x y z, not necessarily normalised."""

Inertia = tuple[float, float, float, float, float, float]
"""About the centre of mass in the link's axes, xx yy zz xy xz yz [kg·m²]."""

IDENTITY: Quaternion = (1.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Box:
    """A box in the link's frame.

    Attributes:
        half: half sizes [m].
        position: centre [m].
        orientation: of its axes.
        pad: whether it is a gripping surface.
    """

    half: Vector
    position: Vector
    orientation: Quaternion = IDENTITY
    pad: bool = False


@dataclass(frozen=True, slots=True)
class Capsule:
    """A capsule in the link's frame.

    Attributes:
        start: centre of one cap [m].
        end: centre of the other [m].
        radius: [m].
    """

    start: Vector
    end: Vector
    radius: float


@dataclass(frozen=True, slots=True)
class Link:
    """One rigid body and the hinge that joins it to its parent.

    Attributes:
        name: body name.
        position: frame origin in the parent's frame [m].
        orientation: of the frame in the parent's frame, w x y z.
        mass: [kg].
        centre_of_mass: [m], in the link's frame.
        inertia: xx yy zz xy xz yz about the centre of mass [kg·m²].
        axis: hinge axis in the link's frame; the hinge passes through the link's origin.
        stops: mechanical range of the hinge [rad].
        shapes: what collides.
    """

    name: str
    position: Vector
    orientation: Quaternion
    mass: float
    centre_of_mass: Vector
    inertia: Inertia
    axis: Vector = (0.0, 0.0, 1.0)
    stops: tuple[float, float] = (0.0, 0.0)
    shapes: tuple[Box | Capsule, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolFrame:
    """Where the tool is, in the frame of `link`.

    Attributes:
        link: name of the link that carries it.
        position: [m].
        orientation: w x y z.
    """

    link: str
    position: Vector
    orientation: Quaternion = IDENTITY


@dataclass(frozen=True, slots=True)
class Linkage:
    """A serial chain: a fixed base and, from there outwards, one link a joint.

    Attributes:
        name: as `ArmDefinition.model` gives it.
        base: the fixed body; its axis and stops are not used.
        links: n moving links, each the child of the one before it.
        tool: the tool frame.
        never_touching: pairs of bodies, not parent and child, whose shapes overlap where the real parts do not.
        source: where the figures come from.
    """

    name: str
    base: Link
    links: tuple[Link, ...]
    tool: ToolFrame
    never_touching: tuple[tuple[str, str], ...] = field(default=())
    source: str = ""


def inertia(scale: float, *entries: float) -> Inertia:
    """Six inertia entries, each times `scale`."""
    xx, yy, zz, xy, xz, yz = entries
    return xx * scale, yy * scale, zz * scale, xy * scale, xz * scale, yz * scale
