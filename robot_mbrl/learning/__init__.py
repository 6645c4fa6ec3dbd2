"""Training: collecting, fitting, evaluating, and what a learner leaves for the robot."""
