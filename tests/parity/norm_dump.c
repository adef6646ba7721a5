/*
 * norm_dump VALUES CHANNELS PIXELS: a batch norm in training mode, forth and back, epsilon 1e-5.
 * VALUES has, as float32, the input [P][C], the output's gradient [P][C], gamma [C] and beta [C].
 * Writes the output [P][C], the input's gradient [P][C], and gamma's and beta's [C] to stdout.
 */
#include "common/file.h"
#include "worker/float/layers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static nq_status read_values(const char *path, size_t count, float **values, nq_error *err)
{
    uint8_t *data;
    size_t size;
    nq_status status = nq_file_read(path, (size_t)1 << 30, &data, &size, err);
    if (status != NQ_OK)
        return status;
    if (size != count * sizeof(float)) {
        free(data);
        return nq_fail(err, NQ_ERR_INPUT, "%s has %zu bytes, not %zu", path, size,
                       count * sizeof(float));
    }
    *values = (float *)data;
    return NQ_OK;
}

static nq_status dump(const char *path, size_t channels, size_t pixels, nq_error *err)
{
    size_t count = channels * pixels;
    float *in = NULL, *room = malloc((count + 4 * channels) * sizeof *room);
    if (!room)
        return nq_fail_nomem(err, "results", (count + 4 * channels) * sizeof *room);
    nq_status status = read_values(path, 2 * count + 2 * channels, &in, err);
    if (status != NQ_OK) {
        free(room);
        return status;
    }
    float *gradient = in + count, *gamma = in + 2 * count, *beta = gamma + channels;
    float *mean = room + count, *inverse = mean + channels, *both = inverse + channels;
    nq_layer_norm(in, (int)channels, pixels, gamma, beta, 1e-5f, mean, inverse, room);
    nq_layer_norm_gradient(in, (int)channels, pixels, gamma, mean, inverse, gradient, both,
                           both + channels);
    fwrite(room, sizeof *room, count, stdout);
    fwrite(gradient, sizeof *gradient, count, stdout);
    fwrite(both, sizeof *both, 2 * channels, stdout);
    if (fflush(stdout) != 0)
        status = nq_fail(err, NQ_ERR_IO, "cannot write to stdout");
    free(in);
    free(room);
    return status;
}

int main(int argc, char **argv)
{
    nq_error err = {0};
    if (argc != 4) {
        fprintf(stderr, "usage: norm_dump VALUES CHANNELS PIXELS\n");
        return 2;
    }
    if (dump(argv[1], strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10), &err) == NQ_OK)
        return 0;
    fprintf(stderr, "norm_dump: %s\n", err.text);
    return 1;
}
