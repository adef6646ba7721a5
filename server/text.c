#include "server/text.h"

#include <stdlib.h>
#include <string.h>

/* Bytes of the UTF-8 character at `p`, 0 where there is none: overlong forms, surrogates and what
 * lies beyond U+10FFFF are none. The text ends with NUL, which no continuation byte equals. */
static int character(const unsigned char *p)
{
    if (p[0] < 0x80)
        return 1;
    int n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    for (int i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

json_t *nq_text_json(const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        return NULL;
    for (unsigned char *p = (unsigned char *)copy; *p;) {
        int n = character(p);
        if (n == 0)
            *p = '?';
        p += n ? n : 1;
    }
    json_t *value = json_string(copy);
    free(copy);
    return value;
}
