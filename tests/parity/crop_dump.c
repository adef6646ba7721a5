/*
 * Lets a script see crops. Reads paths from stdin, each ended by NUL; answers each on stdout with
 * 'k' and the crop's bytes (u8 [224][224][3]), or 'r', a little-endian u16 and so many bytes of a
 * sentence that says why the file was refused. `crop_dump --table` writes the pixel table (f32
 * [3][256]) instead.
 */
#include "common/file.h"
#include "worker/imagenet/crop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT ((size_t)1 << 30)

static void answer(nq_decoder *decoder, const char *path)
{
    static uint8_t crop[NQ_CROP_BYTES];
    nq_error err = {0};
    uint8_t *data = NULL;
    size_t size = 0;
    nq_status status = nq_file_read(path, LIMIT, &data, &size, &err);
    if (status == NQ_OK)
        status = nq_decoder_crop(decoder, data, size, path, crop, &err);
    free(data);
    if (status == NQ_OK) {
        putchar('k');
        fwrite(crop, 1, sizeof crop, stdout);
    } else {
        size_t length = strlen(err.text);
        putchar('r');
        putchar((int)(length & 255));
        putchar((int)(length >> 8));
        fwrite(err.text, 1, length, stdout);
    }
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--table") == 0) {
        float table[3][256];
        nq_pixel_table(table);
        return fwrite(table, sizeof table, 1, stdout) == 1 ? 0 : 1;
    }
    nq_error err = {0};
    nq_decoder *decoder;
    if (nq_decoder_create(&decoder, &err) != NQ_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    char *path = NULL;
    size_t room = 0;
    while (getdelim(&path, &room, 0, stdin) > 0)
        answer(decoder, path);
    free(path);
    nq_decoder_free(decoder);
    return 0;
}
