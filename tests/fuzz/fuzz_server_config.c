/* A configuration file. */
#include "server/config.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nq_config config;
    nq_error err = {0};
    nq_status status = nq_config_parse((const char *)data, size, "conf", "/base", &config, &err);
    if (status == NQ_OK) {
        for (size_t i = 0; i < config.model_count; i++)
            if (!config.models[i].arch || config.models[i].checkpoint[0] != '/')
                abort();
        for (size_t i = 0; i < config.dataset_count; i++)
            if (config.datasets[i].path[0] != '/')
                abort();
        if (config.jobs < 1 || config.attempts < 1 || config.line_bytes < 1024)
            abort();
    } else if (strncmp(err.text, "conf", 4) != 0 && status != NQ_ERR_NOMEM) {
        abort(); /* every complaint names the file */
    }
    nq_config_free(&config);
    return 0;
}
