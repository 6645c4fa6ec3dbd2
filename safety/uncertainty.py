"""Whether the learned model is out of its depth. An ensemble can agree and be wrong: the two scores go together.

The loop asks the model while the arm is on hold, too, about what the policy wishes: a doubt that lasts stays a hold,
and becomes a stop when the hold has lasted for its limit.
"""

import math

from robot_mbrl.contracts.monitor_settings import Grades, MonitorSettings
from robot_mbrl.safety.frame_view import FrameView
from robot_mbrl.safety.judgement import Grader, Judgement


class Disagreement:
    """The members of the ensemble agree on what comes next."""

    name = "disagreement"

    def __init__(self, settings: MonitorSettings, grades: Grades) -> None:
        self._grader = Grader(grades, settings.min_speed_scale)

    def judge(self, view: FrameView) -> Judgement:
        """Grade the ensemble's disagreement; NaN is none, which `NonFinite` judges."""
        return self._grader.judge(0.0 if math.isnan(view.disagreement) else view.disagreement, view.now_ns)


class Residual:
    """What the ensemble predicted has come."""

    name = "residual"

    def __init__(self, settings: MonitorSettings, grades: Grades) -> None:
        self._grader = Grader(grades, settings.min_speed_scale)

    def judge(self, view: FrameView) -> Judgement:
        """Grade the one-step prediction residual; NaN is none, which `NonFinite` judges."""
        return self._grader.judge(0.0 if math.isnan(view.residual) else view.residual, view.now_ns)
