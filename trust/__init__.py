"""What aritmo promises, measured: each row is a promise, its figure and whether it holds. Run ``make trust``."""
