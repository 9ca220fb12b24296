"""What is deployed, and how."""
