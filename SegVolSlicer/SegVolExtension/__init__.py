"""What the extension brings besides its panel: its help, its sample CT, its self-test."""
