"""Templates, one notebook under papermill, all parties at once, reports, the command line."""
