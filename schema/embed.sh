#!/bin/sh
# embed.sh FILE.sql...: prints C source with the migrations as strings, in the order given.
set -eu
echo '#include <stddef.h>'
echo 'extern const char *const nq_schema[];'
echo 'extern const size_t nq_schema_count;'
echo 'const char *const nq_schema[] = {'
for file in "$@"; do
    echo "/* $(basename "$file") */"
    sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$/\\n"/' "$file"
    echo ','
done
echo '};'
echo 'const size_t nq_schema_count = sizeof nq_schema / sizeof nq_schema[0];'
