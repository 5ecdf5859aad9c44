#!/bin/sh
# Read one file with curl, and wait when the worker is busy: curl retries 429, 502, 503 and 504 and obeys
# their Retry-After.
#
#   sh client.sh page.png http://localhost:8080
set -eu
exec curl --silent --show-error --fail-with-body --retry 8 --retry-connrefused --max-time 600 \
    --data-binary "@$1" "${2:-http://localhost:8080}/v1/ocr"
