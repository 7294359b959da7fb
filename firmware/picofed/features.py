"""Features by name: what turns a window of samples into input activations (SPEC 8)."""

import picofed_core as core

# name: (channels of a sample, number of features, shortest and longest window, function(samples, n, out))
FEATURES = {"imu45": (6, 45, 16, 128, core.features_imu)}
