"""The stop proof: faults on a moving arm under the whole deployment, and what the physics says of the stop."""
