#include "worker/calibrate/octaves.h"

#define SIDE NQ_OCTAVES_SIDE

void nq_octave_add(nq_random *random, int points, float size, float *grid, float *plane)
{
    int each = SIDE / points;
    for (int i = 0; i < points * points; i++)
        grid[i] = size * (float)nq_random_normal(random);
    for (int y = 0; y < SIDE; y++) {
        const float *upper = grid + y / each * points,
                    *lower = grid + (y / each + 1) % points * points;
        float down = (float)(y % each) / (float)each;
        for (int x = 0; x < SIDE; x++) {
            int left = x / each, right = (left + 1) % points;
            float along = (float)(x % each) / (float)each;
            float a = upper[left] + along * (upper[right] - upper[left]);
            float b = lower[left] + along * (lower[right] - lower[left]);
            plane[y * SIDE + x] += a + down * (b - a);
        }
    }
}
