"""The CUDA backend of eet. There is nothing to import: `import eet` finds libeet_cuda.so here."""
