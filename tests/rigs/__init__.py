"""What tests run the service with, and what they compare it to."""
