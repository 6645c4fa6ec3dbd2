"""SO-101: kinematics and inertias as published with the arm's CAD (MuJoCo Menagerie, `robotstudio_so101`).

Collision shapes are primitives that follow the published collision boxes. The optional wrist camera (12 g) is left out.
"""

from robot_mbrl.sim.links import Box, Capsule, Link, Linkage, ToolFrame, inertia

SO101 = Linkage(
    name="so101",
    base=Link(
        name="base",
        position=(0.0, 0.0, 0.0),
        orientation=(1.0, 0.0, 0.0, 0.0),
        mass=0.147,
        centre_of_mass=(0.0137179, -0.0000520, 0.0334843),
        inertia=inertia(1e-5, 11.4686, 13.6117, 13.0364, -0.0460, 0.4972, 0.0098),
        shapes=(Box((0.045, 0.035, 0.028), (0.0, 0.0, 0.028)),),
    ),
    links=(
        Link(
            name="shoulder",
            position=(0.0388353, 0.0, 0.0624),
            orientation=(0.0, 0.0, -1.0, 0.0),
            mass=0.100006,
            centre_of_mass=(-0.0307604, -0.000017, -0.0252713),
            inertia=inertia(1e-5, 8.3759, 8.1040, 2.3978, 0.0076, -0.1163, 0.0155),
            stops=(-1.91986, 1.91986),
            shapes=(
                Box((0.025, 0.02, 0.02), (-0.025, 0.0, -0.018)),
                Box((0.015, 0.01, 0.023), (-0.0304, 0.0, -0.0387)),
            ),
        ),
        Link(
            name="upper_arm",
            position=(-0.0303992, -0.0182778, -0.0542),
            orientation=(1.0, -1.0, -1.0, -1.0),
            mass=0.103,
            centre_of_mass=(-0.089847, -0.008382, 0.018409),
            inertia=inertia(1e-5, 4.0800, 14.7318, 14.2487, -1.9782, -0.0040, 0.0009),
            stops=(-1.74533, 1.74533),
            shapes=(Capsule((-0.01, 0.0, 0.0185), (-0.112, -0.012, 0.0185), 0.018),),
        ),
        Link(
            name="lower_arm",
            position=(-0.11257, -0.028, 0.0),
            orientation=(1.0, 0.0, 0.0, 1.0),
            mass=0.104,
            centre_of_mass=(-0.098070, 0.0032438, 0.018283),
            inertia=inertia(1e-5, 2.8744, 15.9844, 14.5290, 0.7412, 0.1264, -0.0049),
            stops=(-1.69, 1.69),
            shapes=(Capsule((-0.01, 0.0, 0.0185), (-0.13, 0.005, 0.0185), 0.016),),
        ),
        Link(
            name="wrist",
            position=(-0.1349, 0.0052, 0.0),
            orientation=(1.0, 0.0, 0.0, -1.0),
            mass=0.079,
            centre_of_mass=(-0.000103, -0.0386143, 0.0281156),
            inertia=inertia(1e-5, 3.6826, 2.5391, 2.1000, 0.0018, -0.0053, 0.3641),
            stops=(-1.65806, 1.65806),
            shapes=(Capsule((0.0, -0.01, 0.022), (0.0, -0.045, 0.022), 0.02),),
        ),
        Link(
            name="gripper",
            position=(0.0, -0.0611, 0.0181),
            orientation=(0.0172091, -0.0172091, 0.706897, 0.706897),
            mass=0.087,
            centre_of_mass=(0.000214, 0.000245, -0.025187),
            inertia=inertia(1e-5, 2.7509, 4.3366, 3.4506, -0.0335, -0.5736, -0.0052),
            stops=(-2.74385, 2.84121),
            shapes=(
                Box((0.0325, 0.015, 0.017), (-0.0025, 0.0, -0.022)),
                Box((0.003, 0.010, 0.019), (-0.0168, 0.0, -0.058)),
                Box((0.0025, 0.006, 0.014), (-0.0110, 0.0, -0.091), pad=True),
            ),
        ),
        Link(
            name="moving_jaw",
            position=(0.0202, 0.0188, -0.0234),
            orientation=(1.0, 1.0, 0.0, 0.0),
            mass=0.012,
            centre_of_mass=(-0.001575, -0.0300244, 0.0192755),
            inertia=inertia(1e-5, 0.6614, 0.1890, 0.5287, -0.0320, -0.0006, -0.0110),
            stops=(-0.17453, 1.74533),
            shapes=(
                Box((0.008, 0.020, 0.012), (0.0, -0.020, 0.019)),
                Box((0.003, 0.013, 0.009), (-0.0045, -0.050, 0.019)),
                Box((0.0025, 0.009, 0.006), (-0.0092, -0.071, 0.019), pad=True),
            ),
        ),
    ),
    tool=ToolFrame("gripper", (0.012, -0.000218, -0.098127), (1.0, 0.0, 1.0, 0.0)),
    never_touching=(("base", "upper_arm"), ("shoulder", "lower_arm"), ("upper_arm", "wrist"), ("wrist", "moving_jaw")),
    source="MuJoCo Menagerie robotstudio_so101 (public CAD of the SO-101)",
)
