"""The network of the paper, one module per part of its figure 2."""
