"""What answers many visitors at once: models and their locks, the device, access, limits."""
