"""Party kernels: ready at once because a warm process forks them, and knowing `%party`."""
