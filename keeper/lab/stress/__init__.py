"""What markets have done to margin before: recorded prices, to try the risk engine on."""
