"""What a deployment is told: which arm, which policy, at what pace, and how it stops. All its processes read this."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from robot_mbrl.contracts.config import RobotSettings, Settings
from robot_mbrl.contracts.types import StopCategory
from robot_mbrl.data.recorder_settings import RecorderSettings
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.drivers.calibration import default_path
from robot_mbrl.runtime.real_time import RealTimeSettings


class TwinSettings(Settings):
    """A twin in the control process, in real time, instead of an arm on a port.

    Attributes:
        arm: name of an arm definition, or the path of one.
    """

    kind: Literal["twin"] = "twin"
    arm: str = "so101_follower"


AnyRobot = Annotated[RobotSettings | TwinSettings, Field(discriminator="kind")]


class LoopSettings(Settings):
    """The control loop.

    Attributes:
        rate: ticks a second [Hz].
        policy_rate: actions a second [Hz]; an action is reached one period after it was taken up.
        missed_limit: ticks missed in a row that are a fault, in seconds' worth of ticks [s].
        bus_patience: cycles in a row that the bus may fail before it counts as lost; meanwhile the last goal holds.
        heartbeat: how long the operator's console may be silent [s]; None asks for no heartbeat.
        kept_frames: frames kept in memory for the report of an exception.
    """

    rate: float = Field(default=200.0, ge=10.0, le=2000.0)
    policy_rate: float = Field(default=30.0, ge=1.0, le=1000.0)
    missed_limit: float = Field(default=0.05, gt=0.0, le=1.0)
    bus_patience: int = Field(default=3, ge=1, le=100)
    heartbeat: float | None = Field(default=None, gt=0.0, le=60.0)
    kept_frames: int = Field(default=256, ge=1, le=100_000)

    @model_validator(mode="after")
    def _the_loop_is_no_slower_than_the_policy(self) -> Self:
        if self.policy_rate > self.rate:
            raise ValueError(f"policy_rate {self.policy_rate} Hz is above the loop's rate {self.rate} Hz: lower it")
        return self


class DeploySettings(Settings):
    """`deploy.yaml`, and what `robot-mbrl deploy` makes of its options.

    Attributes:
        session: name of the processes' channels.
        robot: the arm, or its twin.
        policy: `NAME` or `NAME:FILE`, see `policies.registry`; None holds the arm and waits for requests.
        standby: a policy that stands by; it takes over when it is asked to and the arm is held, see `policy_process`.
        goal: where the task's tool or object shall come to, in the arm's base frame [m]; for policies that observe one.
        loop: the control loop.
        real_time: what the control process asks of the machine.
        stop: what a stop ends with: 0 torque off at once, 1 brake and torque off, 2 brake and hold.
        park: move slowly to the park pose after a stop by signal or by the end of the run, when the arm can.
        release: switch the torque off when the run ends; only at rest, and never after a fault.
        ensemble: ONNX ensemble that watches the policy; None for none.
        safety: replaces values of the arm's own `safety` settings, by key.
        log: folder of the flight logs.
        recorder: how much of a flight is kept in it.
        guardian_bound: how long frames may stay away before the guardian takes the port [s].
    """

    session: str = Field(default="arm", pattern=r"^[A-Za-z0-9_-]{1,40}$")
    robot: AnyRobot
    policy: str | None = None
    standby: str | None = None
    goal: tuple[float, float, float] | None = None
    loop: LoopSettings = LoopSettings()
    real_time: RealTimeSettings = RealTimeSettings()
    stop: StopCategory = StopCategory.HOLD
    park: bool = False
    release: bool = False
    ensemble: Path | None = None
    safety: dict[str, Any] = Field(default_factory=dict)
    log: Path = Path("logs")
    recorder: RecorderSettings = RecorderSettings()
    guardian_bound: float = Field(default=0.1, gt=0.0, le=5.0)

    def anchored(self) -> Self:
        """The same, for who reads it in another folder: log, arm, port and calibration are found from there.

        Raises:
            ConfigError: the arm's definition cannot be read.
        """
        arm, found = self.robot.arm, dict[str, Any]()
        if arm.endswith((".yaml", ".yml")):
            found["arm"] = str(Path(arm).absolute())
        if isinstance(self.robot, RobotSettings):
            calibration = self.robot.calibration or default_path(load_arm(arm))
            found |= {"port": str(Path(self.robot.port).absolute()), "calibration": calibration.absolute()}
        robot = self.robot.model_copy(update=found)
        return self.model_copy(update={"log": self.log.absolute(), "robot": robot})

    @model_validator(mode="after")
    def _who_stands_by_has_somebody_to_relieve(self) -> Self:
        if self.standby is not None and self.policy is None:
            raise ValueError(f"standby {self.standby!r} has no policy to take over from: give a policy too")
        return self
