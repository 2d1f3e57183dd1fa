"""From readings to frames: intake, watermarks, open steps, screening."""
