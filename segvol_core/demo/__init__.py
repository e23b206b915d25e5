"""The demo: a real CT, one click, one box and three names, with figures and pictures."""
