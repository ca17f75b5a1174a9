"""What one message says, read with rules alone: personal data, entities, language, urgency; nothing is learned."""
