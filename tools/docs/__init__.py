"""What writes and checks the generated files and the documentation."""
