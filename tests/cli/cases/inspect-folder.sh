eet-inspect .
