#include "common/text.h"

#include <stdbool.h>
#include <string.h>
#include <wchar.h>

/* The character at text and the bytes it takes; -1 where it is not UTF-8. */
static long next_character(const char *text, int *bytes)
{
    const unsigned char *u = (const unsigned char *)text;
    int more = *u < 0x80 ? 0 : *u >> 5 == 6 ? 1 : *u >> 4 == 14 ? 2 : *u >> 3 == 30 ? 3 : -1;
    *bytes = 1;
    if (more < 0)
        return -1;
    long character = more ? *u & (0x3f >> more) : *u;
    for (int i = 1; i <= more; i++) {
        if (u[i] >> 6 != 2)
            return -1;
        character = character << 6 | (u[i] & 0x3f);
    }
    *bytes = more + 1;
    return character;
}

static bool is_safe(long c)
{
    bool directional = c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
                       (c >= 0x2066 && c <= 0x2069);
    bool no_character = (c & 0xfffe) == 0xfffe;
    return c >= 0x20 && !(c >= 0x7f && c < 0xa0) && !directional && !no_character;
}

void nq_text_clean(const char *text, char *clean, size_t size)
{
    size_t at = 0;
    int bytes;
    for (; *text; text += bytes) {
        bool safe = is_safe(next_character(text, &bytes));
        size_t add = safe ? (size_t)bytes : 1;
        if (at + add >= size)
            break;
        memcpy(clean + at, safe ? text : "?", add);
        at += add;
    }
    clean[at] = 0;
}

int nq_text_columns(const char *text)
{
    int columns = 0;
    mbstate_t state = {0};
    size_t left = strlen(text);
    while (left > 0) {
        wchar_t character;
        size_t n = mbrtowc(&character, text, left, &state);
        if (n == 0 || n > left) {
            memset(&state, 0, sizeof state);
            n = 1;
            columns++;
        } else {
            int width = wcwidth(character);
            columns += width < 0 ? 1 : width;
        }
        text += n;
        left -= n;
    }
    return columns;
}
