"""The decider of graphs: pure rules from a definition and what has happened to what happens next."""
