/* Storing less than a vector in pieces of 16, 8, 4, 2 and 1 bytes: masked stores are slow on some
 * CPUs. For files compiled for AVX2 or more. */
#ifndef NQ_INTEGER_STORE_SOME_H
#define NQ_INTEGER_STORE_SOME_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

/* A call costs more than what these functions do; but sanitizers make so much of each that
 * compiling all of them in one takes minutes. */
#ifdef __has_feature /* clang */
#if __has_feature(address_sanitizer)
#define NQ_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(NQ_SANITIZED)
#define NQ_INLINE static inline __attribute__((unused))
#else
#define NQ_INLINE static inline __attribute__((always_inline))
#endif

/* The first n <= 16 bytes. */
NQ_INLINE void nq_store_some128(uint8_t *to, __m128i bytes, size_t n)
{
    if (n == 16) {
        _mm_storeu_si128((__m128i *)to, bytes);
        return;
    }
    uint64_t word = (uint64_t)_mm_cvtsi128_si64(bytes);
    if (n & 8) {
        memcpy(to, &word, 8);
        to += 8;
        word = (uint64_t)_mm_extract_epi64(bytes, 1);
    }
    if (n & 4) {
        memcpy(to, &word, 4);
        to += 4;
        word >>= 32;
    }
    if (n & 2) {
        memcpy(to, &word, 2);
        to += 2;
        word >>= 16;
    }
    if (n & 1)
        *to = (uint8_t)word;
}

/* The first n <= 32 bytes. */
NQ_INLINE void nq_store_some256(uint8_t *to, __m256i bytes, size_t n)
{
    if (n == 32) {
        _mm256_storeu_si256((__m256i *)to, bytes);
        return;
    }
    if (n < 16) {
        nq_store_some128(to, _mm256_castsi256_si128(bytes), n);
        return;
    }
    _mm_storeu_si128((__m128i *)to, _mm256_castsi256_si128(bytes));
    if (n > 16)
        nq_store_some128(to + 16, _mm256_extracti128_si256(bytes, 1), n - 16);
}

/* Two halves of 16 bytes, the second so that it ends with the n-th byte: 16 < n <= 32. */
NQ_INLINE void nq_store_two(uint8_t *to, __m256i bytes, size_t n)
{
    if (n == 32) {
        _mm256_storeu_si256((__m256i *)to, bytes);
        return;
    }
    _mm_storeu_si128((__m128i *)to, _mm256_castsi256_si128(bytes));
    _mm_storeu_si128((__m128i *)(to + n - 16), _mm256_extracti128_si256(bytes, 1));
}

#endif
