"""The supply of a servo bus: rails that sag under load, and a plug that can be pulled."""

import math
from collections.abc import Mapping

import numpy as np

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray


class Supply:
    """One rail for each kind of servo, each behind the same series resistance. n servos.

    The rail of the highest voltage is the plug. Lower ones come from converters that pass on at most what they get.

    Attributes:
        open_circuit: (n,) voltage of each servo's rail without load [V].
        voltage: (n,) voltage at each servo under the latest load [V].
    """

    def __init__(self, servos: tuple[str, ...], rails: Mapping[str, float], resistance: float) -> None:
        """Wire servos, given by kind, to `rails` [V] of `resistance` [Ω] each."""
        self._nominal = np.array([rails[servo] for servo in servos])
        self._resistance = resistance
        self._on_main = self._nominal == self._nominal.max()
        self._same_rail = np.array([[float(a == b) for b in servos] for a in servos])
        self.open_circuit: FloatArray = self._nominal.copy()
        self.voltage: FloatArray = self._nominal.copy()
        self._draw, self._sums, self._denominator = (np.zeros(len(servos)) for _ in range(3))

    def set_plug(self, voltage: float) -> None:
        """Set the plug's open-circuit voltage [V].

        Raises:
            ConfigError: it is negative or not finite.
        """
        if not (math.isfinite(voltage) and voltage >= 0.0):
            raise ConfigError(f"supply voltage = {voltage} V: give a finite voltage of at least 0")
        self.open_circuit[:] = np.where(self._on_main, voltage, np.minimum(self._nominal, voltage))
        self.voltage[:] = self.open_circuit

    def under_load(self, duty: FloatArray, back_emf: FloatArray, conductance: FloatArray) -> FloatArray:
        """Voltage at each servo while bridges chop it: duty d, back-EMF e [V], winding conductance g [1/Ω], all (n,).

        A bridge at duty d draws d I = d g (d V - e) from its rail, and the rail gives V = V_oc - R Σ d I. Solved for V:
        (V_oc + R Σ d g e) / (1 + R Σ d² g). A supply takes no current back, so V is at most V_oc.
        """
        np.multiply(duty, conductance, out=self._draw)
        np.multiply(self._draw, back_emf, out=self._sums)
        np.dot(self._same_rail, self._sums, out=self.voltage)
        np.multiply(self._draw, duty, out=self._sums)
        np.dot(self._same_rail, self._sums, out=self._denominator)
        np.multiply(self._denominator, self._resistance, out=self._denominator)
        np.add(self._denominator, 1.0, out=self._denominator)
        np.multiply(self.voltage, self._resistance, out=self.voltage)
        np.add(self.voltage, self.open_circuit, out=self.voltage)
        np.divide(self.voltage, self._denominator, out=self.voltage)
        np.minimum(self.voltage, self.open_circuit, out=self.voltage)
        return self.voltage
