/*
 * Runs a fuzz target without a fuzzer: every file of a corpus folder, then a number of seeded
 * mutations of them. Usage: fuzz_NAME CORPUS [MUTATIONS [SEED]]. Built by gcc for `make test`;
 * `make fuzz` links libFuzzer instead.
 */
#include "common/file.h"
#include "common/random.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_SEEDS 512

static struct {
    uint8_t *data;
    size_t size;
} seeds[MAX_SEEDS];
static int seed_count;

static int load_corpus(const char *folder)
{
    struct dirent **names;
    int n = scandir(folder, &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char *path = nq_path_join(folder, names[i]->d_name);
        nq_error err = {0};
        if (names[i]->d_name[0] != '.' && seed_count < MAX_SEEDS && path &&
            nq_file_read(path, 1 << 24, &seeds[seed_count].data, &seeds[seed_count].size, &err) ==
                NQ_OK)
            seed_count++;
        free(path);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
    return seed_count;
}

/* One to eight edits: a byte set, a bit flipped, a run deleted, doubled or cut off. */
static size_t mutate(nq_random *r, uint8_t *data, size_t size, size_t room)
{
    int edits = 1 + (int)(nq_random_u32(r) % 8);
    while (edits-- > 0 && size > 0) {
        size_t at = nq_random_u32(r) % size;
        size_t run = 1 + nq_random_u32(r) % 16;
        if (run > size - at)
            run = size - at;
        switch (nq_random_u32(r) % 5) {
        case 0:
            data[at] = (uint8_t)nq_random_u32(r);
            break;
        case 1:
            data[at] = (uint8_t)(data[at] ^ (1u << (nq_random_u32(r) % 8)));
            break;
        case 2:
            memmove(data + at, data + at + run, size - at - run);
            size -= run;
            break;
        case 3:
            if (size + run <= room) {
                memmove(data + at + run, data + at, size - at);
                size += run;
            }
            break;
        default:
            if (nq_random_u32(r) % 8 == 0)
                size = at;
        }
    }
    return size;
}

/* An exact allocation, so that the sanitizer sees every read past the end. */
static void run_one(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        exit(2);
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

int main(int argc, char **argv)
{
    const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
    if (argc < 2 || load_corpus(argv[1]) == 0) {
        printf("not ok 1 - %s has no corpus\n", name);
        return 1;
    }
    long mutations = argc > 2 ? atol(argv[2]) : 0;
    nq_random r;
    nq_random_init(&r, argc > 3 ? (uint64_t)atoll(argv[3]) : 1, 0);
    for (int i = 0; i < seed_count; i++)
        run_one(seeds[i].data, seeds[i].size);
    for (long m = 0; m < mutations; m++) {
        int i = (int)(nq_random_u32(&r) % (uint32_t)seed_count);
        size_t room = seeds[i].size + 256;
        uint8_t *data = malloc(room);
        if (!data)
            return 2;
        memcpy(data, seeds[i].data, seeds[i].size);
        run_one(data, mutate(&r, data, seeds[i].size, room));
        free(data);
    }
    printf("ok 1 - %s: %d files and %ld mutations\n", name, seed_count, mutations);
    for (int i = 0; i < seed_count; i++)
        free(seeds[i].data);
    return 0;
}
