/* Samples from a folder of images, cropped and normalised as the validation images are. */
#include "common/file.h"
#include "common/tree.h"
#include "worker/calibrate/source.h"
#include "worker/imagenet/crop.h"

#include <stdlib.h>
#include <string.h>

#define FILE_LIMIT ((size_t)1 << 30)

typedef struct {
    nq_decoder *decoder;
    uint8_t crop[NQ_CROP_BYTES];
} room;

typedef struct {
    char *root, *folder;
    char **paths; /* relative to root, sorted bytewise */
    size_t count;
    float table[3][256];
    room *rooms[NQ_SAMPLES_THREADS]; /* one a thread, made when first used */
} images;

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static nq_status keep_path(images *s, const char *path, nq_error *err)
{
    char *whole = *s->folder ? nq_path_join(s->folder, path) : strdup(path);
    if (!whole)
        return nq_fail_nomem(err, path, strlen(path) + 1);
    s->paths[s->count++] = whole;
    return NQ_OK;
}

static nq_status list(images *s, nq_error *err)
{
    nq_tree tree;
    nq_status status = nq_tree_list(s->root, s->folder, &tree, err);
    if (status == NQ_OK && !(s->paths = calloc(tree.count + 1, sizeof *s->paths)))
        status = nq_fail_nomem(err, "a list of images", (tree.count + 1) * sizeof *s->paths);
    for (size_t i = 0; status == NQ_OK && i < tree.count; i++) {
        if (tree.entries[i].folder)
            continue;
        nq_name_kind kind = nq_name_kind_of(tree.entries[i].path);
        if (kind == NQ_NAME_JPEG)
            status = keep_path(s, tree.entries[i].path, err);
        else if (kind == NQ_NAME_OTHER_IMAGE)
            status = nq_fail(err, NQ_ERR_INPUT,
                             "%s/%s: calibration images are .jpg or .jpeg; convert or remove it",
                             s->folder, tree.entries[i].path);
    }
    nq_tree_free(&tree);
    if (status == NQ_OK && s->count == 0)
        status = nq_fail(err, NQ_ERR_INPUT, "%s has no .jpg or .jpeg in it", s->folder);
    if (status == NQ_OK)
        qsort(s->paths, s->count, sizeof *s->paths, compare_paths);
    return status;
}

static void images_close(void *state)
{
    images *s = state;
    for (int t = 0; t < NQ_SAMPLES_THREADS; t++)
        if (s->rooms[t]) {
            nq_decoder_free(s->rooms[t]->decoder);
            free(s->rooms[t]);
        }
    for (size_t i = 0; i < s->count; i++)
        free(s->paths[i]);
    free(s->paths);
    free(s->folder);
    free(s->root);
    free(s);
}

static nq_status images_open(const nq_spec *spec, const char *root, const char *path, void **state,
                             size_t *count, nq_error *err)
{
    (void)spec;
    images *s = *state = calloc(1, sizeof *s);
    if (!s || !(s->root = strdup(root)) || !(s->folder = strdup(path)))
        return nq_fail_nomem(err, path, sizeof *s);
    nq_pixel_table(s->table);
    nq_status status = list(s, err);
    *count = s->count;
    return status;
}

static nq_status make_room(images *s, int thread, nq_error *err)
{
    if (s->rooms[thread])
        return NQ_OK;
    room *r = malloc(sizeof *r);
    if (!r)
        return nq_fail_nomem(err, "an image decoder", sizeof *r);
    nq_status status = nq_decoder_create(&r->decoder, err);
    if (status == NQ_OK)
        s->rooms[thread] = r;
    else
        free(r);
    return status;
}

static nq_status images_read(void *state, size_t i, int thread, float *out, nq_error *err)
{
    images *s = state;
    uint8_t *data = NULL;
    size_t size = 0;
    nq_status status = make_room(s, thread, err);
    if (status == NQ_OK)
        status = nq_file_read_beneath(s->root, s->paths[i], FILE_LIMIT, &data, &size, err);
    if (status == NQ_OK)
        status = nq_decoder_crop(s->rooms[thread]->decoder, data, size, s->paths[i],
                                 s->rooms[thread]->crop, err);
    free(data);
    if (status != NQ_OK)
        return status;
    const uint8_t *crop = s->rooms[thread]->crop;
    for (size_t p = 0; p < NQ_CROP_BYTES; p += 3)
        for (size_t c = 0; c < 3; c++)
            out[p + c] = s->table[c][crop[p + c]];
    return NQ_OK;
}

const nq_sample_source nq_source_images = {images_open, images_read, images_close};
