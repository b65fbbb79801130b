"""From a name, folder, archive or Hub id to batches of images."""
