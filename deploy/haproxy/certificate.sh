#!/bin/sh
# Makes a self-signed certificate for the demo in the folder named, unless there is one: chain and key in one file,
# as HAProxy reads them. Browsers will not trust it; deploy/README.md says how to use a real one.
set -eu
cd "$1"
if [ -s headcount.pem ]; then
    echo "headcount.pem is there; nothing to do"
    exit 0
fi
umask 077
name=${HEADCOUNT_TLS_NAME:-localhost}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 825 \
    -subj "/CN=$name" -addext "subjectAltName=DNS:$name,DNS:localhost,IP:127.0.0.1" \
    -addext "basicConstraints=critical,CA:FALSE" -addext "extendedKeyUsage=serverAuth" \
    -keyout .key -out .certificate 2>/dev/null
cat .certificate .key >.headcount.pem
rm .certificate .key
# Whole or not at all: a start that was interrupted leaves no half certificate behind.
mv .headcount.pem headcount.pem
echo "made a self-signed certificate for $name"
