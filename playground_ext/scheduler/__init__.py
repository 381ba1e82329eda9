"""What every algorithm shares: lifecycle, rounds, seeds, metrics, results."""
