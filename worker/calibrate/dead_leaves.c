#include "worker/calibrate/dead_leaves.h"
#include "worker/calibrate/octaves.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SIDE     NQ_OCTAVES_SIDE
#define PIXELS   (SIDE * SIDE)
#define COLOURS  3
#define TEXTURES 6
#define CHROMA   0.4
#define MARGIN   20 /* pixels beyond the edge where a leaf's middle may lie */

/* What the leaves of one picture have in common. */
typedef struct {
    double base[COLOURS], spread; /* their colours: mean, deviation */
    double least, most;           /* their sizes in pixels */
    float *texture;               /* [TEXTURES][224][224], deviation about 1 */
} palette;

typedef enum { ELLIPSE, RECTANGLE, TRIANGLE, SHAPES } shape;

typedef struct {
    shape shape;
    double x, y, cosine, sine, size, flat; /* flat: the short side, as a share of the long one */
    double colour[COLOURS], tint[COLOURS]; /* tint: how much of the shading a colour gets */
    double along, across, grain;           /* shading: slopes, and share of the texture */
    const float *texture;
} leaf;

static double between(nq_random *random, double low, double high)
{
    return low + (high - low) * nq_random_uniform(random);
}

static double exponential(nq_random *random, double mean)
{
    return -mean * nq_portable_log(nq_random_uniform(random));
}

/* Around `base`: light and dark differ by `spread`, and the colours much less among each other. */
static void draw_colour(nq_random *random, const double *base, double spread, double *colour)
{
    double light = spread * nq_random_normal(random);
    for (int c = 0; c < COLOURS; c++) {
        colour[c] = base[c] + light + CHROMA * spread * nq_random_normal(random);
        colour[c] = fmin(fmax(colour[c], 0), 1);
    }
}

/* Noise whose octaves fall off by a factor of its own. */
static void draw_texture(nq_random *random, float *grid, float *plane)
{
    double ratio = between(random, 0.35, 1.2), size = 1, square = 0;
    for (int k = 0; k < NQ_OCTAVES_COUNT; k++, size *= ratio)
        square += size * size;
    size = 1 / sqrt(square);
    memset(plane, 0, PIXELS * sizeof *plane);
    for (int k = 0; k < NQ_OCTAVES_COUNT; k++, size *= ratio)
        nq_octave_add(random, NQ_OCTAVES_COARSEST << k, (float)size, grid, plane);
}

static void draw_palette(nq_random *random, float *grid, palette *p)
{
    const double middle[COLOURS] = {0.45, 0.45, 0.45};
    draw_colour(random, middle, 0.2, p->base);
    p->spread = between(random, 0.1, 0.35);
    p->least = between(random, 3, 12);
    p->most = between(random, 60, 140);
    for (int t = 0; t < TEXTURES; t++)
        draw_texture(random, grid, p->texture + (size_t)t * PIXELS);
}

static leaf draw_leaf(nq_random *random, const palette *p)
{
    leaf l = {.shape = (shape)(nq_random_u32(random) % SHAPES)};
    l.size = 1 / between(random, 1 / p->most, 1 / p->least);
    l.x = between(random, -MARGIN, SIDE + MARGIN);
    l.y = between(random, -MARGIN, SIDE + MARGIN);
    double a = nq_random_normal(random), b = nq_random_normal(random), length = sqrt(a * a + b * b);
    l.cosine = length > 0 ? a / length : 1;
    l.sine = length > 0 ? b / length : 0;
    l.flat = between(random, 0.3, 1);
    draw_colour(random, p->base, p->spread, l.colour);
    for (int c = 0; c < COLOURS; c++)
        l.tint[c] = 1 + 0.3 * nq_random_normal(random);
    double slope = exponential(random, 0.1);
    l.along = slope * between(random, -1, 1);
    l.across = slope * between(random, -1, 1);
    l.grain = exponential(random, 0.07);
    l.texture = p->texture + (size_t)(nq_random_u32(random) % TEXTURES) * PIXELS;
    return l;
}

/* a, b: from the middle, along the leaf's own axes, in units of its size. */
static bool covers(const leaf *l, double a, double b)
{
    switch (l->shape) {
    case ELLIPSE:
        return a * a + b * b / (l->flat * l->flat) < 1;
    case RECTANGLE:
        return fabs(a) < 1 && fabs(b) < l->flat;
    default:
        return b > -l->flat && b < 1 && fabs(a) < (1 - b) / 2;
    }
}

/* Where no leaf lies yet; returns how many pixels it has covered. */
static size_t lay(const leaf *l, bool *covered, float *image)
{
    const double reach = 1.5 * l->size;
    int top = (int)fmax(0, floor(l->y - reach)), bottom = (int)fmin(SIDE, ceil(l->y + reach) + 1);
    int left = (int)fmax(0, floor(l->x - reach)), right = (int)fmin(SIDE, ceil(l->x + reach) + 1);
    size_t count = 0;
    for (int y = top; y < bottom; y++)
        for (int x = left; x < right; x++) {
            size_t at = (size_t)y * SIDE + (size_t)x;
            double dx = (x - l->x) / l->size, dy = (y - l->y) / l->size;
            double a = dx * l->cosine + dy * l->sine, b = dy * l->cosine - dx * l->sine;
            if (covered[at] || !covers(l, a, b))
                continue;
            double shade = l->along * a + l->across * b + l->grain * (double)l->texture[at];
            for (int c = 0; c < COLOURS; c++)
                image[at * COLOURS + (size_t)c] = (float)(l->colour[c] + shade * l->tint[c]);
            covered[at] = true;
            count++;
        }
    return count;
}

/* One pass of (share, 1 - 2 share, share) along rows (step 1) or columns (step 224). */
static void blur(float share, size_t step, float *image)
{
    for (size_t line = 0; line < SIDE; line++)
        for (int c = 0; c < COLOURS; c++) {
            float *p = image + line * (step == 1 ? SIDE : 1) * COLOURS + c, before = p[0];
            for (size_t i = 0; i < SIDE; i++, p += step * COLOURS) {
                float here = *p, after = i + 1 < SIDE ? p[step * COLOURS] : here;
                *p = here + share * (before - here + (after - here));
                before = here;
            }
        }
}

static void finish(nq_random *random, float *image)
{
    float share = (float)between(random, 0, 0.25), grain = (float)exponential(random, 0.01);
    for (int pass = 0; pass < 2; pass++) {
        blur(share, 1, image);
        blur(share, SIDE, image);
    }
    for (size_t i = 0; i < PIXELS * COLOURS; i++) {
        float value = image[i] + grain * (float)nq_random_normal(random);
        image[i] = fminf(fmaxf(value, 0), 1);
    }
}

nq_status nq_dead_leaves_draw(nq_random *random, float *image, nq_error *err)
{
    size_t bytes = (TEXTURES + 1) * PIXELS * sizeof(float);
    float *room = malloc(bytes);
    bool *covered = calloc(PIXELS, sizeof *covered);
    if (!room || !covered) {
        free(room);
        free(covered);
        return nq_fail_nomem(err, "dead leaves", bytes);
    }
    palette p = {.texture = room};
    draw_palette(random, room + TEXTURES * PIXELS, &p);
    size_t left = PIXELS;
    for (int leaves = (int)between(random, 30, 300); leaves > 0 && left > 0; leaves--) {
        leaf next = draw_leaf(random, &p);
        left -= lay(&next, covered, image);
    }
    leaf ground = draw_leaf(random, &p);
    ground.shape = RECTANGLE;
    ground.size = 4 * SIDE;
    ground.x = ground.y = 0;
    ground.flat = 1;
    lay(&ground, covered, image);
    finish(random, image);
    free(room);
    free(covered);
    return NQ_OK;
}
