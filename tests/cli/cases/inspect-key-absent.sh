eet-inspect --key dec.nothing good.eet
