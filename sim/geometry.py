"""`MujocoGeometry`: where an arm's tool is and how near its links come to each other and to the table.

Distances are between the model's primitive shapes. Which pairs of links count follows from the linkage alone:

- A link and the one that its hinge joins it to touch by design: they are left out. The base stands on the table for
  good, so the two are as one body, and the link on the base has no distance from the table either.
- Pairs in the linkage's `never_touching` have shapes that overlap where the real parts do not: left out as well.
- All others count. An arm that folds up when it is parked lays links onto each other, or onto the table. Such a pair
  may be as near as it is there, around the park position only: its distance d gains an allowance

      a(q) = max(0, PARKED_CLEARANCE - d(q_park)) · max(0, 1 - max_j |q_j - q_park,j| / PARKED_RANGE)

  over the joints j between the two links. At the park position every pair so reads at least `PARKED_CLEARANCE`; where
  links that rest on each other there meet in any other way, the distance is the true one.

Bounding spheres tell which shapes can be the nearest: only these are measured exactly, nearest spheres first.
"""

import math
from operator import sub
from typing import Final, NamedTuple

import mujoco
import numpy as np

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.geometry import Clearance
from robot_mbrl.contracts.types import FloatArray, IntArray
from robot_mbrl.drivers.arms import ArmDefinition
from robot_mbrl.sim.addresses import Addresses
from robot_mbrl.sim.linkages import linkage_of
from robot_mbrl.sim.model import build_model
from robot_mbrl.sim.names import TABLE
from robot_mbrl.sim.truth import nominal_truth

PARKED_CLEARANCE = 0.02
"""What every pair reads at least with the arm parked [m]."""

PARKED_RANGE = 0.35
"""Farther than this from the park position, in any joint between them, resting links have no allowance left [rad]."""

_FAR = 10.0
"""Beyond any distance within an arm [m]."""

_ONES: Final = np.ones(3)
"""A row of squares times this is their sum."""


class LinkPair(NamedTuple):
    """Two links, or the table and a link, that must not touch.

    Attributes:
        first: name of the inner link, or of the table.
        second: name of the outer link.
        joints: of the arm that move the two against each other.
    """

    first: str
    second: str
    joints: slice


def link_pairs(arm: ArmDefinition) -> tuple[LinkPair, ...]:
    """Pairs of links of `arm` that must not touch, and links that must not touch the table.

    Raises:
        ConfigError: the arm's model is unknown.
    """
    linkage = linkage_of(arm)
    never = {frozenset(pair) for pair in linkage.never_touching}
    names = (linkage.base.name, *(link.name for link in linkage.links))
    pairs = []
    for outer in range(2, len(names)):
        pairs.append(LinkPair(TABLE, names[outer], slice(outer)))
        inner = (index for index in range(outer - 1) if frozenset((names[index], names[outer])) not in never)
        pairs += [LinkPair(names[index], names[outer], slice(index, outer)) for index in inner]
    return tuple(pairs)


class _Resting(NamedTuple):
    """What a pair that rests on each other lacks of `PARKED_CLEARANCE` [m], and its places among the shapes."""

    lacking: float
    shapes: IntArray


class MujocoGeometry:
    """Shape of `arm` on a bare table. Implements `contracts.geometry.ArmGeometry`; not for several threads at once.

    Attributes:
        pairs: of links that must not touch.
    """

    def __init__(self, arm: ArmDefinition) -> None:
        """Build the model with rigid gears, list the shapes of all pairs, and see how near they are when parked.

        Raises:
            ConfigError: the arm's model is unknown.
        """
        self.pairs = link_pairs(arm)
        self._name = arm.name
        self._names = [f"{pair.first} - {pair.second}" for pair in self.pairs]
        self._model = build_model(arm, nominal_truth(arm).without_backlash())
        self._data = mujoco.MjData(self._model)
        # The bare arm has no coordinates but its joints, in its own order. The data's arrays stay where they are.
        self._qpos, self._places = self._data.qpos, self._data.geom_xpos
        self._tool: FloatArray = self._data.site_xpos[Addresses(self._model, arm).tool]
        self._posed = b""
        shapes = [(k, a, b) for k, pair in enumerate(self.pairs) for a, b in self._shapes_of(pair)]
        table = self._model.geom(TABLE).id
        # Shapes over the table first, so that each kind is a slice.
        self._shapes = sorted(shapes, key=lambda shape: shape[1] != table)
        first: IntArray = np.array([first for _, first, _ in self._shapes])
        second: IntArray = np.array([second for _, _, second in self._shapes])
        over = int(np.count_nonzero(first == table))
        self._over_table, self._first, self._second = second[:over], first[over:], second[over:]
        radius: FloatArray = self._model.geom_rbound
        self._radii = np.where(first == table, 0.0, radius[first]) + radius[second]
        self._bounds = np.zeros(len(shapes))
        self._heights, self._distances = self._bounds[:over], self._bounds[over:]
        self._apart, self._other = np.zeros((2, len(self._first), 3))
        self._parked = np.array([joint.park_position for joint in arm.joints])
        self._park_angles = self._parked.tolist()
        self._resting = self._resting_pairs()

    def tool_position(self, position: FloatArray) -> FloatArray:
        """(3,) origin of the tool frame [m], arm base frame, at joint angles `position` (n,) [rad].

        Raises:
            ConfigError: `position` has another shape.
        """
        self._pose(position)
        return self._tool.copy()

    def clearance(self, position: FloatArray) -> Clearance:
        """Smallest distance among `pairs` at joint angles `position` (n,) [rad]; minus infinity if one is not finite.

        Raises:
            ConfigError: `position` has another shape.
        """
        self._pose(position)
        angles: list[float] = position.tolist()
        if not math.isfinite(sum(angles)):
            return Clearance(-math.inf, "joint angles that are not finite")
        bounds = self._lower_bounds()
        gains = {pair: self._allowance(pair, angles) for pair in self._resting}
        for pair, gain in gains.items():
            if gain > 0.0:
                bounds[self._resting[pair].shapes] += gain
        measure, model, data = mujoco.mj_geomDistance, self._model, self._data
        nearest, nearest_pair = math.inf, 0
        for index in bounds.argsort(kind="stable").tolist():
            if bounds[index] >= nearest:
                break
            pair, first, second = self._shapes[index]
            gain = gains.get(pair, 0.0)
            distance = measure(model, data, first, second, min(max(nearest - gain, 0.0), _FAR), None) + gain
            if distance < nearest:
                nearest, nearest_pair = distance, pair
        return Clearance(nearest, self._names[nearest_pair])

    def _pose(self, position: FloatArray) -> None:
        """Put the links where `position` has them, unless that is where the last question had them."""
        if position.shape != self._qpos.shape:
            raise ConfigError(f"{self._name}: joint angles of shape {position.shape}: give {len(self._qpos)}")
        wanted = position.tobytes()
        if wanted != self._posed:
            self._qpos[:] = position
            mujoco.mj_kinematics(self._model, self._data)
            self._posed = wanted

    def _lower_bounds(self) -> FloatArray:
        """(shapes,) distances of the bounding spheres from the table or from each other [m]; a buffer that is kept.

        Written for few and cheap calls: this runs in every tick. `mode` lets NumPy write to `out` directly.
        """
        places, apart, other = self._places, self._apart, self._other
        places[:, 2].take(self._over_table, out=self._heights, mode="clip")
        places.take(self._first, axis=0, out=apart, mode="clip")
        places.take(self._second, axis=0, out=other, mode="clip")
        np.subtract(apart, other, out=apart)
        np.multiply(apart, apart, out=apart)
        np.dot(apart, _ONES, out=self._distances)
        np.sqrt(self._distances, out=self._distances)
        return np.subtract(self._bounds, self._radii, out=self._bounds)

    def _allowance(self, pair: int, angles: list[float]) -> float:
        """What the distance of a resting pair gains at joint `angles` [m]."""
        joints = self.pairs[pair].joints
        away = max(map(abs, map(sub, angles[joints], self._park_angles[joints])))
        share: float = max(0.0, 1.0 - away / PARKED_RANGE)
        return self._resting[pair].lacking * share

    def _resting_pairs(self) -> dict[int, _Resting]:
        """Pairs that are nearer than `PARKED_CLEARANCE` at the park position, by their place in `pairs`."""
        self._pose(self._parked)
        lacking: dict[int, float] = {}
        for pair, first, second in self._shapes:
            distance = mujoco.mj_geomDistance(self._model, self._data, first, second, _FAR, None)
            if distance < PARKED_CLEARANCE:
                lacking[pair] = max(lacking.get(pair, 0.0), PARKED_CLEARANCE - distance)
        places = {pair: [k for k, shape in enumerate(self._shapes) if shape[0] == pair] for pair in lacking}
        return {pair: _Resting(lacking[pair], np.array(places[pair])) for pair in lacking}

    def _shapes_of(self, pair: LinkPair) -> list[tuple[int, int]]:
        firsts = [self._model.geom(TABLE).id] if pair.first == TABLE else self._shapes_on(pair.first)
        return [(first, second) for first in firsts for second in self._shapes_on(pair.second)]

    def _shapes_on(self, link: str) -> list[int]:
        body = self._model.body(link)
        return list(range(int(body.geomadr[0]), int(body.geomadr[0] + body.geomnum[0])))
