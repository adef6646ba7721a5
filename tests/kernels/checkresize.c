/*
 * checkresize: every version of the resize against the plain C one on pictures of random sizes and
 * pixels. Behind the last byte that may be read lies a page that must not be touched, around each
 * output bytes that must not change. TAP; --seed S replays, --only row|column picks, --bench
 * measures.
 */
#include "common/random.h"
#include "worker/imagenet/resize_kernels.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define GUARD      64
#define GUARD_BYTE 0xa5
#define ROOM       (1u << 20) /* bytes before the page that must not be touched */
#define PAGE       4096

static nq_random rng;
static uint8_t *end_of_room;

static int between(int low, int high)
{
    return low + (int)(nq_random_u32(&rng) % (uint32_t)(high - low + 1));
}

static void make_room(void)
{
    uint8_t *room =
        mmap(NULL, ROOM + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED || mprotect(room + ROOM, PAGE, PROT_NONE) != 0)
        abort();
    end_of_room = room + ROOM;
}

/* Random bytes, often only the extremes; the byte behind the last must not be touched. */
static uint8_t *random_bytes(size_t size)
{
    uint8_t *bytes = end_of_room - size;
    int kind = between(0, 3);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(kind == 0   ? 255
                             : kind == 1 ? (nq_random_u32(&rng) & 1 ? 255 : 0)
                                         : (int)(nq_random_u32(&rng) & 255));
    return bytes;
}

static int random_side(void)
{
    switch (between(0, 4)) {
    case 0:
        return between(1, 40);
    case 1:
        return between(200, 300);
    case 2:
        return between(301, 700);
    case 3:
        return between(1, 1500);
    default:
        return between(1500, 6000);
    }
}

/* Both versions begin the same picture. */
static void begin(nq_resizer *plain, nq_resizer *other, const nq_resize_kernels *k, int w, int h)
{
    nq_error err = {0};
    *plain = (nq_resizer){.kernels = nq_resize_kernels_at(0)};
    *other = (nq_resizer){.kernels = k};
    if (nq_resizer_begin(plain, w, h, &err) != NQ_OK ||
        nq_resizer_begin(other, w, h, &err) != NQ_OK) {
        printf("# %d x %d: %s\n", w, h, err.text);
        abort();
    }
}

typedef struct {
    uint8_t bytes[GUARD + NQ_RESIZE_ROW + GUARD];
} guarded;

static bool same(const guarded *a, const guarded *b)
{
    bool good = memcmp(a, b, sizeof *a) == 0;
    for (size_t i = 0; i < GUARD; i++)
        good &= a->bytes[i] == GUARD_BYTE && a->bytes[GUARD + NQ_RESIZE_ROW + i] == GUARD_BYTE;
    return good;
}

static bool check_row(const nq_resize_kernels *k)
{
    nq_resizer plain, other;
    guarded want, got;
    int w = random_side(), h = random_side();
    begin(&plain, &other, k, w, h);
    memset(&want, GUARD_BYTE, sizeof want);
    memset(&got, GUARD_BYTE, sizeof got);
    const uint8_t *rgb = random_bytes((size_t)w * 3 + NQ_RESIZE_SLACK);
    plain.kernels->row(&plain.x, &plain.packed_x, rgb, want.bytes + GUARD);
    k->row(&other.x, &other.packed_x, rgb, got.bytes + GUARD);
    nq_resizer_free(&plain);
    nq_resizer_free(&other);
    return same(&want, &got);
}

static bool check_column(const nq_resize_kernels *k)
{
    nq_resizer plain, other;
    guarded want, got;
    int i = between(0, NQ_RESIZE_OUTPUTS - 1);
    begin(&plain, &other, k, random_side(), random_side());
    memset(&want, GUARD_BYTE, sizeof want);
    memset(&got, GUARD_BYTE, sizeof got);
    int count = plain.y.count[i], taps = k->column_taps ? k->column_taps : 1;
    const uint8_t *rows =
        random_bytes((size_t)((count + taps - 1) / taps * taps) * NQ_RESIZE_PITCH);
    plain.kernels->column(&plain.y, &plain.packed_y, i, rows, want.bytes + GUARD);
    k->column(&other.y, &other.packed_y, i, rows, got.bytes + GUARD);
    nq_resizer_free(&plain);
    nq_resizer_free(&other);
    return same(&want, &got);
}

static const struct {
    const char *name;
    bool (*check)(const nq_resize_kernels *k);
} functions[] = {{"row", check_row}, {"column", check_column}};
#define FUNCTIONS (sizeof functions / sizeof functions[0])

/* Each case has its own stream, so that a failure can be run again alone. */
static bool check_function(const nq_resize_kernels *k, size_t f, uint64_t seed, long cases)
{
    for (long c = 0; c < cases; c++) {
        nq_random_init(&rng, seed, (uint64_t)c);
        if (!functions[f].check(k)) {
            printf("# %s.%s differs in case %ld of seed %llu\n", k->name, functions[f].name, c,
                   (unsigned long long)seed);
            return false;
        }
    }
    return true;
}

static int check_tables(long cases, uint64_t seed, const char *only)
{
    int test = 0, failed = 0;
    const nq_resize_kernels *k;
    for (size_t i = 0; (k = nq_resize_kernels_at(i)) != NULL; i++)
        for (size_t f = 0; f < FUNCTIONS; f++) {
            if (only && strcmp(only, functions[f].name) != 0)
                continue;
            if (!k->supported()) {
                printf("ok %d - %s.%s # SKIP this CPU cannot run it\n", ++test, k->name,
                       functions[f].name);
                continue;
            }
            bool good = check_function(k, f, seed, cases);
            failed += !good;
            printf("%s %d - %s.%s: %ld cases\n", good ? "ok" : "not ok", ++test, k->name,
                   functions[f].name, cases);
            fflush(stdout);
        }
    printf("1..%d\n", test);
    return failed != 0;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The best of many runs over a picture of 500 x 375, the commonest of ImageNet. */
static int bench(void)
{
    enum { WIDTH = 500, HEIGHT = 375, RUNS = 200 };
    static uint8_t rgb[WIDTH * 3 + NQ_RESIZE_SLACK], crop[NQ_RESIZE_OUTPUTS * NQ_RESIZE_ROW];
    const nq_resize_kernels *k;
    nq_error err = {0};
    for (size_t i = 0; (k = nq_resize_kernels_at(i)) != NULL; i++) {
        nq_resizer r = {.kernels = k};
        double best = 1e9;
        for (int run = 0; run < RUNS && k->supported(); run++) {
            double begun = seconds();
            if (nq_resizer_begin(&r, WIDTH, HEIGHT, &err) != NQ_OK)
                return 1;
            for (int y = r.first_row; y < r.end_row; y++)
                nq_resizer_row(&r, y, rgb);
            nq_resizer_end(&r, crop);
            double took = seconds() - begun;
            best = took < best ? took : best;
        }
        if (k->supported())
            printf("%-12s %8.1f us a picture of %d x %d\n", k->name, 1e6 * best, WIDTH, HEIGHT);
        nq_resizer_free(&r);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"cases", required_argument, NULL, 'c'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"only", required_argument, NULL, 'o'},
                                            {"bench", no_argument, NULL, 'b'},
                                            {0}};
    long cases = 1000;
    uint64_t seed = 1;
    const char *only = NULL;
    bool measure = false, usage = false;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        cases = o == 'c' ? atol(optarg) : cases;
        seed = o == 's' ? strtoull(optarg, NULL, 10) : seed;
        only = o == 'o' ? optarg : only;
        measure |= o == 'b';
        usage |= o == '?';
    }
    if (usage || optind < argc || cases < 1 || cases > 1000000) {
        fprintf(stderr, "usage: checkresize [--cases 1..1000000] [--seed S] [--only row|column]\n"
                        "       checkresize --bench\n");
        return 2;
    }
    make_room();
    return measure ? bench() : check_tables(cases, seed, only);
}
