"""What can be done to an execution from outside, one file an operation. Each is pure, and raises `Refusal`, having
changed nothing, when it is not allowed."""
