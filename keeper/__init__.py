"""An event-sourced keeper that holds on-chain margin safe."""

__version__ = "0.1.0"
