"""What each command of `malaria` does, once its options are read."""
