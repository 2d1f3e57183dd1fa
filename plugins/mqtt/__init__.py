"""What the MQTT source is made of: the connection, the session, the journal, topics, payloads."""
