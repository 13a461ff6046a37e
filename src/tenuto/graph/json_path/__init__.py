"""JSONPath in the dialect of Java's Jayway library, which Conductor's definitions are written in."""
