"""Where an arm's joints, tool and cube lie in MuJoCo's arrays, for models with rigid gears."""

import mujoco
import numpy as np

from robot_mbrl.contracts.errors import SimulationError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import ArmDefinition
from robot_mbrl.sim.names import CUBE, TOOL_SITE


class Addresses:
    """Places in the arrays of one model's structure.

    Attributes:
        position: (n,) of the joints in `qpos`.
        velocity: (n,) of the joints in `qvel`.
        control: (n,) of their motors in `ctrl`.
        tool: of the tool site.
        arm_bodies: whether each body moves with the arm, (nbody,).
        cube_position: of the cube's centre in `qpos`; None where there is no cube.
        cube_velocity: of its rate in `qvel`; None where there is no cube.
    """

    def __init__(self, model: mujoco.MjModel, arm: ArmDefinition) -> None:
        joints = [model.joint(name) for name in arm.joint_names]
        self.position = np.array([joint.qposadr[0] for joint in joints])
        self.velocity = np.array([joint.dofadr[0] for joint in joints])
        self.control = np.array([model.actuator(name).id for name in arm.joint_names])
        self.tool: int = model.site(TOOL_SITE).id
        # The arm is one chain, so what moves with it hangs, by whatever many links, from the first joint's body.
        self.arm_bodies = model.body_rootid == model.body_rootid[joints[0].bodyid[0]]
        self.arm_bodies &= np.arange(model.nbody) >= joints[0].bodyid[0]
        self.cube_position: slice | None = None
        self.cube_velocity: slice | None = None
        if mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, CUBE) >= 0:
            cube = model.joint(CUBE)
            self.cube_position = slice(cube.qposadr[0], cube.qposadr[0] + 3)
            self.cube_velocity = slice(cube.dofadr[0], cube.dofadr[0] + 3)

    def place_cube(self, qpos: FloatArray, position: FloatArray) -> None:
        """Write the cube's centre `position` (3,) [m] into `qpos`.

        Raises:
            SimulationError: the model has no cube.
        """
        if self.cube_position is None:
            raise SimulationError("the scene has no cube to place: build the model with Scene(cube=Cube())")
        qpos[self.cube_position] = position
