"""Files of arrays without a format of their own: NPZ, CSV, pickles."""
