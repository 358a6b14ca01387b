#!/bin/sh
# Compiles what of the chunker is C. Usage: native.sh [PACKAGE], PACKAGE being where m0_chunker is.
set -eu
library=${1:-$(dirname "$0")/../m0_chunker}/media/ts/transport.so
# Hardened: a film may be anybody's. In place at once: a chunker may be running.
"${CC:-cc}" -std=c11 -O2 -Wall -Wextra -shared -fPIC \
    -fstack-protector-strong -D_FORTIFY_SOURCE=2 -Wl,-z,relro,-z,now \
    -o "$library.$$" "${library%.so}.c"
mv "$library.$$" "$library"
