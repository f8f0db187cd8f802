#!/usr/bin/env bash
# One tensor and its numbers; NaN and infinity are counted and left out of the others.
eet-inspect --tensor dec.emb.tok --stats good.eet
eet-inspect --tensor head.lm.out.w good.eet
eet-inspect --tensor enc.emb.proj_in.w --stats nan.eet
eet-inspect --tensor enc.emb.proj_in.w --stats --json nan.eet
