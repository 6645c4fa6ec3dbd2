"""The shared vocabulary: what everything may import and what imports nothing of ours."""
