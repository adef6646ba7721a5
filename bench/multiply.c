#include "bench/multiply.h"
#include "bench/measure.h"

#ifdef __x86_64__
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* 16-bit values 16..47, which are also bytes and (as 0x3f..) no denormal floats. */
static const float operand[16]
    __attribute__((aligned(64))) = {1.001f, 0.125f, 1.25f, 0.5f, 0.75f, 1.5f, 0.3f, 0.9f,
                                    1.1f,   0.7f,   0.2f,  1.7f, 0.6f,  1.9f, 0.4f, 0.8f};

/* Sums in registers 0 to 11 (256 bit) or 0 to 23 (512 bit); operands in the last two. */
#define TWELVE      ".irp r,0,1,2,3,4,5,6,7,8,9,10,11\n"
#define TWENTY_FOUR ".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23\n"
#define CLOBBER_16                                                                                 \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",       \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "cc"
#define CLOBBER_32                                                                                 \
    CLOBBER_16, "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24",   \
        "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31"

#define LOOP_256(name, features, step)                                                             \
    __attribute__((target(features))) static void name(size_t iterations)                          \
    {                                                                                              \
        __asm__ volatile("vmovaps (%1), %%ymm14\n vmovaps 32(%1), %%ymm15\n" TWELVE                \
                         "vxorps %%ymm\\r, %%ymm\\r, %%ymm\\r\n .endr\n"                           \
                         "1:\n" TWELVE step ".endr\n dec %0\n jnz 1b\n vzeroupper"                 \
                         : "+r"(iterations)                                                        \
                         : "r"(operand)                                                            \
                         : CLOBBER_16);                                                            \
    }
#define LOOP_512(name, features, step)                                                             \
    __attribute__((target(features))) static void name(size_t iterations)                          \
    {                                                                                              \
        __asm__ volatile("vmovups (%1), %%zmm30\n vmovups (%1), %%zmm31\n" TWENTY_FOUR             \
                         "vpxord %%zmm\\r, %%zmm\\r, %%zmm\\r\n .endr\n"                           \
                         "1:\n" TWENTY_FOUR step ".endr\n dec %0\n jnz 1b\n vzeroupper"            \
                         : "+r"(iterations)                                                        \
                         : "r"(operand)                                                            \
                         : CLOBBER_32);                                                            \
    }

LOOP_512(vnni_512, "avx512f,avx512vnni", "vpdpbusd %%zmm30, %%zmm31, %%zmm\\r\n")
LOOP_256(vnni_256_evex, "avx512f,avx512vl,avx512vnni",
         "%{evex%} vpdpbusd %%ymm14, %%ymm15, %%ymm\\r\n")
LOOP_256(vnni_256_vex, "avx2,avxvnni", "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm\\r\n")
LOOP_256(widened_256, "avx2",
         "vpmaddwd %%ymm14, %%ymm15, %%ymm13\n vpaddd %%ymm13, %%ymm\\r, %%ymm\\r\n")
LOOP_512(fma_512, "avx512f", "vfmadd231ps %%zmm30, %%zmm31, %%zmm\\r\n")
LOOP_256(fma_256, "avx2,fma", "vfmadd231ps %%ymm14, %%ymm15, %%ymm\\r\n")

/* Tiles of 16 rows of 64 bytes: four sums, two left and two right operands. */
static void amx(size_t iterations)
{
    static const uint8_t config[64] __attribute__((aligned(64))) = {
        [0] = 1,   [16] = 64, [18] = 64, [20] = 64, [22] = 64, [24] = 64,
        [26] = 64, [28] = 64, [30] = 64, [48] = 16, [49] = 16, [50] = 16,
        [51] = 16, [52] = 16, [53] = 16, [54] = 16, [55] = 16};
    static uint8_t rows[16 * 64] __attribute__((aligned(64)));
    for (size_t i = 0; i < sizeof rows; i++)
        rows[i] = (uint8_t)(i * 31);
    __asm__ volatile("ldtilecfg (%1)\n"
                     ".irp r,0,1,2,3\n tilezero %%tmm\\r\n .endr\n"
                     ".irp r,4,5,6,7\n tileloadd (%2,%3), %%tmm\\r\n .endr\n"
                     "1:\n"
                     "tdpbusd %%tmm4, %%tmm6, %%tmm0\n tdpbusd %%tmm4, %%tmm7, %%tmm1\n"
                     "tdpbusd %%tmm5, %%tmm6, %%tmm2\n tdpbusd %%tmm5, %%tmm7, %%tmm3\n"
                     "dec %0\n jnz 1b\n tilerelease"
                     : "+r"(iterations)
                     : "r"(config), "r"(rows), "r"((size_t)64)
                     : "cc", "memory");
}

static bool has_avx512vnni(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vnni");
}

static bool has_avx512vl_vnni(void)
{
    return has_avx512vnni() && __builtin_cpu_supports("avx512vl");
}

static bool has_only_avxvnni(void)
{
    return !has_avx512vl_vnni() && __builtin_cpu_supports("avxvnni");
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

static bool has_avx512f(void)
{
    return __builtin_cpu_supports("avx512f");
}

static bool has_fma(void)
{
    return has_avx2() && __builtin_cpu_supports("fma");
}

/* Linux hands out the tiles' state on request only. */
static bool has_amx(void)
{
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    return __builtin_cpu_supports("amx-int8") &&
           syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

static const nq_multiply loops[] = {
    {"vpdpbusd 512", true, false, has_avx512vnni, 24 * 64, vnni_512},
    {"vpdpbusd 256", true, false, has_avx512vl_vnni, 12 * 32, vnni_256_evex},
    {"vpdpbusd 256", true, false, has_only_avxvnni, 12 * 32, vnni_256_vex},
    {"vpmaddwd+vpaddd 256", true, false, has_avx2, 12 * 16, widened_256},
    {"tdpbusd tiles", true, true, has_amx, 4 * 16 * 16 * 64, amx},
    {"fp32 fma 512", false, false, has_avx512f, 24 * 16, fma_512},
    {"fp32 fma 256", false, false, has_fma, 12 * 8, fma_256},
};
#define LOOPS (sizeof loops / sizeof loops[0])
#else
static const nq_multiply loops[1];
#define LOOPS 0
#endif

const nq_multiply *nq_multiply_at(size_t i)
{
    return i < LOOPS ? &loops[i] : NULL;
}

double nq_multiply_rate(const nq_multiply *loop, double (*clock)(void), double seconds)
{
    const size_t each = 2000;
    size_t iterations = 0;
    double began = clock(), now = began;
    for (; now - began < seconds || iterations == 0; now = clock()) {
        loop->run(each);
        iterations += each;
    }
    return (double)iterations * loop->macs / (now - began) * 1e-9;
}

const nq_multiply *nq_multiply_best(void)
{
    const nq_multiply *best = NULL, *loop;
    double most = 0;
    for (size_t i = 0; (loop = nq_multiply_at(i)) != NULL; i++) {
        if (!loop->integer || loop->matrix || !loop->supported())
            continue;
        double rate = nq_multiply_rate(loop, nq_bench_thread_seconds, 0.02);
        if (rate > most) {
            most = rate;
            best = loop;
        }
    }
    return best;
}
