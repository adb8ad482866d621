"""How likely a chunk is to a policy, and how familiar an observation."""
