#!/usr/bin/env bash
eet-inspect --tensor dec.nothing good.eet
