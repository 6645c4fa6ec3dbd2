"""Heat of the servos: the loss in each winding, stored in the housing and given off to the air."""

import numpy as np

from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.sim.parameters import JointTruth


class Heat:
    """First-order thermal model of n servos: C dT/dt = R I² - (T - T_ambient) / R_th.

    Attributes:
        temperature: (n,) [°C].
    """

    def __init__(self, joints: tuple[JointTruth, ...], ambient: float, timestep: float) -> None:
        """Start at `ambient` [°C], to be stepped by `timestep` [s]."""
        self.temperature: FloatArray = np.full(len(joints), ambient)
        self._gain = np.array([timestep * joint.resistance / joint.thermal_capacitance for joint in joints])
        time_constants = np.array([joint.thermal_resistance * joint.thermal_capacitance for joint in joints])
        # Exact for a constant current, and so stable for any time constant.
        self._keep = np.exp(-timestep / time_constants)
        self._gain *= (1.0 - self._keep) * time_constants / timestep
        self._ambient = ambient * (1.0 - self._keep)
        self._work = np.zeros(len(joints))

    def step(self, current: FloatArray) -> None:
        """Advance by one timestep at winding currents (n,) [A]."""
        np.multiply(current, current, out=self._work)
        np.multiply(self._work, self._gain, out=self._work)
        np.add(self._work, self._ambient, out=self._work)
        np.multiply(self.temperature, self._keep, out=self.temperature)
        np.add(self.temperature, self._work, out=self.temperature)
