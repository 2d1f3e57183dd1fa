"""What the Kafka source and the Kafka sinks share: connections, readers, senders, records."""
