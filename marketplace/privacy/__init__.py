"""What every app declares about owners, joined: the inventory, the export, the erasure and its proof, retention."""
