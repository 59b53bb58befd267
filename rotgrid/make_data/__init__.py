"""`rotgrid data make`: an `.npz` file of the user's own data. Nothing here imports torch."""
