"""What graphs call and the engine's process runs itself: HTTP, EVENT, KAFKA_PUBLISH, and the event buses."""
