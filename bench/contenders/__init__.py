"""What is compared: each is a program that serves on PORT, on the tables that the service's migrations make."""
