"""The published procedure and this package's, timed side by side in one run."""
