"""What a project owns outside, and the settings that say where: desired -> look -> claimed change, step by step."""
