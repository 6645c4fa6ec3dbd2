"""Koch v1.1: frames, masses and inertias of MuJoCo Menagerie's `low_cost_robot_arm` (the Koch arm's public CAD).

Two things differ from that file: the base is turned so that the arm reaches along +x, and hinge axes are signed like
the SO-101's, so that the same joint angles mean the same pose. Menagerie gives no inertia of the base, which does not
move; its mass here is two XL430-W250 (57.2 g each) and 30 g of plastic. Stops are those of the SO-101, whose joint
layout is the same, but for the folded shoulder: the arm rests on that stop, so it lies a degree within the limits.
"""

import numpy as np

from robot_mbrl.sim.links import Box, Capsule, Inertia, Link, Linkage, Quaternion, ToolFrame, Vector


def _full_inertia(diagonal: Vector, orientation: Quaternion) -> Inertia:
    """Inertia in the link's axes of principal moments `diagonal` along axes turned by `orientation`."""
    w, x, y, z = np.asarray(orientation) / np.linalg.norm(orientation)
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    full = rotation @ np.diag(diagonal) @ rotation.T
    (xx, xy, xz), (_, yy, yz), (_, _, zz) = full.tolist()
    return xx, yy, zz, xy, xz, yz


UPRIGHT: Quaternion = (1.0, 0.0, 0.0, 0.0)

KOCH = Linkage(
    name="koch",
    base=Link(
        name="base",
        position=(0.0, 0.0, 0.0),
        orientation=(0.0, 0.0, 0.0, 1.0),
        mass=0.144,
        centre_of_mass=(0.0, 0.0, 0.02),
        inertia=(5e-5, 5e-5, 5e-5, 0.0, 0.0, 0.0),
        shapes=(Box((0.03, 0.025, 0.018), (0.012, 0.0, 0.018)),),
    ),
    links=(
        Link(
            name="shoulder",
            position=(0.012, 0.0, 0.0409),
            orientation=UPRIGHT,
            mass=0.05014,
            centre_of_mass=(0.011924, -0.00048792, 0.013381),
            inertia=_full_inertia((1.44921e-05, 1.2371e-05, 7.59138e-06), (-0.0190903, 0.705417, 0.0178052, 0.708312)),
            axis=(0.0, 0.0, -1.0),
            stops=(-1.91986, 1.91986),
            shapes=(Box((0.018, 0.014, 0.014), (0.006, 0.0, 0.013)),),
        ),
        Link(
            name="upper_arm",
            position=(0.0, -0.0209, 0.0154),
            orientation=UPRIGHT,
            mass=0.050177,
            centre_of_mass=(0.0011747, 0.02097, 0.071547),
            inertia=_full_inertia(
                (3.73065e-05, 3.3772e-05, 7.94901e-06), (0.998768, 2.01447e-05, 0.0496266, 0.000367169)
            ),
            axis=(0.0, -1.0, 0.0),
            stops=(-1.72, 1.74533),
            shapes=(Capsule((0.0, 0.021, 0.015), (-0.004, 0.021, 0.1), 0.013),),
        ),
        Link(
            name="lower_arm",
            position=(-0.0148, 0.0065, 0.1083),
            orientation=UPRIGHT,
            mass=0.06379,
            centre_of_mass=(-0.05537, 0.014505, 0.0028659),
            inertia=_full_inertia(
                (2.45081e-05, 2.2231e-05, 7.34061e-06), (8.17663e-05, 0.710999, -4.16983e-05, 0.703193)
            ),
            axis=(0.0, -1.0, 0.0),
            stops=(-1.69, 1.69),
            shapes=(Capsule((-0.01, 0.0145, 0.0028), (-0.095, 0.0145, 0.0028), 0.012),),
        ),
        Link(
            name="wrist",
            position=(-0.10048, 5e-05, 0.0026999),
            orientation=UPRIGHT,
            mass=0.019805,
            centre_of_mass=(-0.02652, 0.019195, -9.0614e-06),
            inertia=_full_inertia((2.95813e-06, 2.8759e-06, 1.07787e-06), (0.707361, 0.706812, 0.00580344, 0.00484124)),
            axis=(0.0, -1.0, 0.0),
            stops=(-1.65806, 1.65806),
            shapes=(Capsule((-0.012, 0.014, 0.0), (-0.035, 0.014, 0.0), 0.012),),
        ),
        Link(
            name="gripper",
            position=(-0.045, 0.013097, 0.0),
            orientation=UPRIGHT,
            mass=0.029277,
            centre_of_mass=(-0.019091, 0.0053379, 0.00018011),
            inertia=_full_inertia((8.11303e-06, 7.14908e-06, 3.27429e-06), (0.105295, 0.703509, -0.0986543, 0.695885)),
            axis=(1.0, 0.0, 0.0),
            stops=(-2.74385, 2.84121),
            shapes=(
                Box((0.015, 0.008, 0.014), (-0.017, -0.001, 0.0)),
                Box((0.020, 0.002, 0.006), (-0.050, 0.0125, 0.0005), pad=True),
            ),
        ),
        Link(
            name="moving_jaw",
            position=(-0.01315, -0.0075, 0.0145),
            orientation=UPRIGHT,
            mass=0.012831,
            centre_of_mass=(-0.02507, 0.0010817, -0.01414),
            inertia=_full_inertia((3.49922e-06, 2.45768e-06, 1.4645e-06), (0.528148, 0.5474, 0.466496, 0.451436)),
            axis=(0.0, 0.0, 1.0),
            stops=(-0.17453, 1.74533),
            shapes=(
                Box((0.012, 0.004, 0.010), (-0.016, 0.0, -0.014)),
                Box((0.016, 0.002, 0.006), (-0.0415, 0.0093, -0.014), pad=True),
            ),
        ),
    ),
    tool=ToolFrame("gripper", (-0.062, 0.0105, 0.0005)),
    never_touching=(("base", "upper_arm"), ("shoulder", "lower_arm"), ("upper_arm", "wrist"), ("wrist", "moving_jaw")),
    source="MuJoCo Menagerie low_cost_robot_arm (public CAD of the Koch arm)",
)
