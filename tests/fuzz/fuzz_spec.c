/* A job spec from a stranger: refused with a sentence, or resolved to a fixed point. */
#include "common/json.h"
#include "common/spec.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nq_error err = {0};
    json_t *written;
    nq_spec spec, again;
    if (nq_json_parse((const char *)data, size, 1 << 16, "spec", &written, &err) != NQ_OK) {
        if (!*err.text)
            abort();
        return 0;
    }
    if (nq_spec_resolve(written, &spec, &err) == NQ_OK) {
        json_t *json = nq_spec_to_json(&spec);
        if (!json || nq_spec_resolve(json, &again, &err) != NQ_OK ||
            memcmp(&spec, &again, sizeof spec) != 0)
            abort();
        json_decref(json);
    } else if (!*err.text) {
        abort();
    }
    json_decref(written);
    return 0;
}
