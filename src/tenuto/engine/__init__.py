"""The engine: owns partitions, folds what arrives, commits it in groups, and only then lets anybody see the effects."""
