"""Write and check the generated files and the documentation."""
