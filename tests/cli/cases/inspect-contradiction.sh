eet-inspect --digest --key dec.layers good.eet
