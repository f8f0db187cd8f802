eet-inspect --tensor dec.nothing good.eet
