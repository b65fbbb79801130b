"""What the Train tab needs: the training itself, its data, and those who watch."""
