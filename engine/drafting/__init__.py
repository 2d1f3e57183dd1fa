"""The first config of somebody's own data: what is seen in files and topics, as YAML."""
