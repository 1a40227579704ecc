"""Servers that tests reach stores through: each on a free port of the loopback, for the length of a `with`.

`s3` is the S3 in memory of `tools/lab`, `proxy` the proxy of `tools/lab` (with TLS where asked), `moto` an S3 by
somebody else, `certificates` what TLS needs; `azurite` is Microsoft's emulator of Azure, `gcs` a small strict Google
Cloud Storage, `web` a web server over a folder, good or careless. `gate` counts round trips exactly. `process` starts and ends them all.
"""
