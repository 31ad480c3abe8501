"""What is timed, side by side with peers. Not installed with the product."""
