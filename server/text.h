/* Bytes of strangers on their way into JSON. */
#ifndef NQ_SERVER_TEXT_H
#define NQ_SERVER_TEXT_H

#include <jansson.h>

/* A JSON string of `text`; bytes that are not valid UTF-8 (file names, last words of a worker,
 * sentences cut in the middle of a character) become '?'. NULL: out of memory. */
json_t *nq_text_json(const char *text);

#endif
