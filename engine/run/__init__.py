"""One job from config to end."""
