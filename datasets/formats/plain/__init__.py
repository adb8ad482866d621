"""Arrays without a format of their own: NPZ, HDF5, CSV, pickles, with episodes marked somehow."""
