"""Other people's drivers against the emulated arms, and against our codecs byte for byte (`make crosscheck`)."""
