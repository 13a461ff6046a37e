"""What is wrong with definitions: one kind of mistake a file. All of it together: graph.validation."""
