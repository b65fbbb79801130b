"""From a name, folder, file or Hub id to a model, and back."""
