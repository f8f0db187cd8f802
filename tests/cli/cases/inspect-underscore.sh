#!/usr/bin/env bash
# trtllm and CTranslate2 users type underscores.
eet-inspect --no_tensors good.eet | tail -n 3
